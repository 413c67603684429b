package sockets

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// refuseSYN is a socket filter that drops segments which open a connection and passes all others: with the TCP header
// at offset 0, it loads the flags and drops those with SYN and without ACK.
var refuseSYN = []unix.SockFilter{
	{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 13},
	{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: flagSYN | flagACK},
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: flagSYN, Jt: 0, Jf: 1},
	{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	{Code: unix.BPF_RET | unix.BPF_K, K: 0xffffffff},
}

const (
	flagSYN = 0x02
	flagACK = 0x10
)

// Refuse lets no new connection into the queues, so that they can be emptied for good. Without it, a connection that
// the kernel completes between the last accept and Close is reset, although its client was told that it is connected.
// A client that comes now tries again in a second, and is refused once the sockets are closed. Files of unix sockets
// that are ours are removed, which has the same effect. Sockets of a service manager or of another arbiter, who go on with
// them, stay as they are, and all is false then: their queues need not be emptied, and may never be. It cannot be undone:
// call it for what is about to be closed.
func (s *Set) Refuse() (all bool, err error) {
	var errs []error
	all = true
	for _, socket := range s.Sockets() {
		errs = append(errs, socket.refuse())
		all = all && socket.owned()
	}
	return all, errors.Join(errs...)
}

func (s *Socket) refuse() error {
	switch {
	case !s.owned():
		return nil
	case s.file != nil:
		return s.file.remove()
	case !s.addr.isTCP():
		return nil
	}
	prog := unix.SockFprog{Len: uint16(len(refuseSYN)), Filter: &refuseSYN[0]}
	var err error
	ctrlErr := s.Control(func(fd uintptr) {
		err = os.NewSyscallError("setsockopt", unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &prog))
	})
	return errors.Join(ctrlErr, err)
}
