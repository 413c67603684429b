//go:build race

package http1

import "syscall"

// transfer reads or writes by the functions that tell the race detector about it.
func transfer(call, fd uintptr, p []byte) (n int, err error) {
	for {
		if call == syscall.SYS_READ {
			n, err = syscall.Read(int(fd), p)
		} else {
			n, err = syscall.Write(int(fd), p)
		}
		if err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}
