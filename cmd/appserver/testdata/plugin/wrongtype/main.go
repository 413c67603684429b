// Command wrongtype is a plugin whose NewHandler has the wrong type.
package main

// NewHandler is of no use to anybody.
func NewHandler() string { return "" }

func main() {}
