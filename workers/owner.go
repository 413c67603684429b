package workers

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/internal/fault"
)

// comm is the worker's name where the kernel shows no more than 15 bytes, as in top.
const comm = "appserver-wrk"

// Owner is whom a worker runs as.
type Owner struct {
	UID, GID int
	// Groups are the supplementary groups.
	Groups []int
}

// changeOwner names the process and makes it run as the user and group of the settings, for good.
func (p *process) changeOwner() error {
	if err := os.WriteFile("/proc/self/comm", []byte(comm), 0); err != nil {
		p.log().Debug("Cannot name the process", "error", err.Error())
	}
	want, err := FindOwner(p.config.User, p.config.Group)
	if err != nil {
		return err
	}
	if want != nil {
		if err := want.assume(); err != nil {
			return err
		}
	}
	// Nothing the worker starts may gain what it gave up. Per thread, and threads inherit it; the arbiter starts workers
	// with it, others may not.
	if set, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); err == nil && set == 1 {
		return nil
	}
	if err := allThreads(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0); err != nil {
		p.log().Debug("Cannot set no_new_privs on all threads", "error", err.Error())
		_ = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) // on this one at least
	}
	return nil
}

// FindOwner looks user and group up, each a name or a number. It returns nil when the process is theirs already. A user
// brings its supplementary groups and, unless group is given, its primary one. Errors are faults: there is no such user
// or group, or this process may not change to it. The arbiter asks, too: sockets and log files belong to the workers.
func FindOwner(userName, groupName string) (*Owner, error) {
	if userName == "" && groupName == "" {
		return nil, nil
	}
	o := &Owner{UID: os.Geteuid(), GID: os.Getegid()}
	if userName != "" {
		if err := o.setUser(userName, groupName == ""); err != nil {
			return nil, err
		}
	}
	if groupName != "" {
		gid, err := findGroup(groupName)
		if err != nil {
			return nil, err
		}
		o.GID = gid
	}
	if !slices.Contains(o.Groups, o.GID) {
		o.Groups = append(o.Groups, o.GID)
	}
	if o.UID == os.Geteuid() && o.GID == os.Getegid() && o.UID != 0 {
		return nil, nil
	}
	if os.Geteuid() != 0 {
		return nil, fault.New("start appserver as root, or leave user and group unset",
			"cannot run as user %d and group %d: only root can change them", o.UID, o.GID)
	}
	return o, nil
}

func (o *Owner) setUser(name string, primary bool) error {
	u, err := user.Lookup(name)
	if id, numErr := strconv.Atoi(name); err != nil && numErr == nil && id >= 0 {
		u, err = user.LookupId(name)
		if err != nil && !primary {
			o.UID = id // a number that nobody has a name for, as in containers
			return nil
		}
		if err != nil {
			return fault.New("set group as well", "user %d has no entry in the user database, so its group is not known", id)
		}
	}
	if err != nil {
		return fault.New("set user to a name in /etc/passwd, or to a number", "there is no user %q", name)
	}
	var uidErr, gidErr error
	o.UID, uidErr = strconv.Atoi(u.Uid)
	if primary {
		o.GID, gidErr = strconv.Atoi(u.Gid)
	}
	if err := errors.Join(uidErr, gidErr); err != nil {
		return fmt.Errorf("read the ids of user %q: %w", name, err)
	}
	ids, err := u.GroupIds()
	if err != nil {
		return fmt.Errorf("list the groups of user %q: %w", name, err)
	}
	for _, id := range ids {
		gid, err := strconv.Atoi(id)
		if err != nil {
			return fmt.Errorf("list the groups of user %q: %w", name, err)
		}
		o.Groups = append(o.Groups, gid)
	}
	return nil
}

func findGroup(name string) (int, error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		id, err := strconv.Atoi(name)
		if err != nil || id < 0 {
			return 0, fault.New("set group to a name in /etc/group, or to a number", "there is no group %q", name)
		}
		return id, nil
	}
	id, err := strconv.Atoi(g.Gid)
	if err != nil {
		return 0, fmt.Errorf("read the id of group %q: %w", name, err)
	}
	return id, nil
}

// assume changes the process's ids, on all threads, and checks with the kernel that they are gone. Root's capabilities go
// with its user id, save for the bounding set, which goes first because dropping from it takes one of them.
func (o *Owner) assume() error {
	if o.UID != 0 {
		for c := range uintptr(unix.CAP_LAST_CAP + 1) {
			if allThreads(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c, 0) != nil {
				break // in a program with cgo, or an older kernel's last: no_new_privs covers it
			}
		}
	}
	if err := syscall.Setgroups(o.Groups); err != nil {
		return fmt.Errorf("set supplementary groups: %w", err)
	}
	if err := syscall.Setgid(o.GID); err != nil {
		return fmt.Errorf("set group %d: %w", o.GID, err)
	}
	if err := syscall.Setuid(o.UID); err != nil {
		return fmt.Errorf("set user %d: %w", o.UID, err)
	}
	if o.UID != 0 {
		o.clearCapabilities()
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return fmt.Errorf("check the process's owner: %w", err)
	}
	return o.verify(string(status))
}

// clearCapabilities empties the inheritable set, which setuid leaves alone. The others are empty by now.
func (o *Owner) clearCapabilities() {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	_ = allThreads(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&none)), 0)
}

// verify compares the text of /proc/self/status with what was asked for.
func (o *Owner) verify(status string) error {
	uid, gid := strconv.Itoa(o.UID), strconv.Itoa(o.GID)
	groups := make([]string, 0, len(o.Groups))
	for _, g := range slices.Sorted(slices.Values(o.Groups)) {
		groups = append(groups, strconv.Itoa(g))
	}
	want := map[string][]string{
		"Uid": {uid, uid, uid, uid}, "Gid": {gid, gid, gid, gid}, "Groups": slices.Compact(groups),
	}
	if o.UID != 0 {
		for _, set := range []string{"CapPrm", "CapEff", "CapAmb"} {
			want[set] = []string{"0000000000000000"}
		}
	}
	seen := 0
	for line := range strings.Lines(status) {
		key, values, _ := strings.Cut(line, ":")
		w, ok := want[key]
		if !ok {
			continue
		}
		seen++
		if got := strings.Fields(values); !slices.Equal(got, w) {
			return fmt.Errorf("change the process's owner: the kernel says %s is %v, not %v", key, got, w)
		}
	}
	if seen != len(want) {
		return errors.New("change the process's owner: the kernel does not show it")
	}
	return nil
}

// allThreads makes a system call that concerns one thread on every thread of the process. It fails with ENOTSUP in
// programs with cgo.
func allThreads(trap, a1, a2, a3 uintptr) error {
	if _, _, errno := syscall.AllThreadsSyscall6(trap, a1, a2, a3, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}
