// Package unix has nothing but its name in common with the real one.
package unix

// Fake is not in the real package.
func Fake() int { return 1 }
