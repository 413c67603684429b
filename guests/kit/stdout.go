//go:build wasip1 && (cgi || stdio)

package kit

import "os"

// stdout is the way to the server. What the program prints goes to the log instead, as it would from a handler whose server has a
// connection: many a library prints to os.Stdout, and would make nonsense of the response.
var stdout = takeStdout()

func takeStdout() *os.File {
	f := os.Stdout
	os.Stdout = os.Stderr
	return f
}
