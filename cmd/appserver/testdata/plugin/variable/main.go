// Command variable is a plugin with a Handler variable.
package main

import (
	"io"
	"net/http"
)

// Handler is set by the time init functions have run.
var Handler http.Handler

func init() {
	Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "from a variable") })
}

func main() {}
