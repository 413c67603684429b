// Command nosymbol is a plugin that exports something else.
package main

// Meta and Version are not what a server looks for.
var Meta, Version = 1, 2

func main() {}
