package lab

import (
	"fmt"
	"os"
	"os/user"
	"runtime"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// openAs opens a file to read with the rights of owner, where dcalab runs as
// root for them; the kernel decides, at the moment of opening. It is done on a
// thread of its own, whose ids are changed and which then ends: Go's own calls
// would change those of the whole process (setfsuid(2), credentials(7)).
func openAs(owner Owner, path string) (*os.File, error) {
	if owner.UID == 0 || os.Geteuid() != 0 {
		return openToRead(path)
	}
	groups, err := groupsOf(owner)
	if err != nil {
		return nil, fmt.Errorf("open %s as the user %d: %w", path, owner.UID, err)
	}
	type result struct {
		f   *os.File
		err error
	}
	opened := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends here
		err := becomeForFiles(owner, groups)
		if err != nil {
			opened <- result{nil, fmt.Errorf("open %s as the user %d: %w", path, owner.UID, err)}
			return
		}
		f, err := openToRead(path)
		opened <- result{f, err}
	}()
	r := <-opened
	return r.f, r.err
}

// groupsOf are the groups of a user, by the system's list; one that is not in it
// has the group of owner alone.
func groupsOf(owner Owner) ([]uint32, error) {
	groups := []uint32{uint32(owner.GID)} //nolint:gosec // sudo's own number
	u, err := user.LookupId(strconv.Itoa(owner.UID))
	if err != nil {
		return groups, nil //nolint:nilerr // a user of a container has no name
	}
	ids, err := u.GroupIds()
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		gid, err := strconv.ParseUint(id, 10, 32)
		if err != nil {
			return nil, err
		}
		groups = append(groups, uint32(gid))
	}
	return groups, nil
}

// becomeForFiles gives this thread the rights of a user towards files. With the
// user id for files go the capabilities that override the rights of files.
func becomeForFiles(owner Owner, groups []uint32) error {
	// For this thread alone: unix.Setgroups is for all of them.
	if _, _, e := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(&groups[0])), 0); e != 0 {
		return fmt.Errorf("setgroups: %w", e)
	}
	runtime.KeepAlive(groups)
	if err := unix.Setfsgid(owner.GID); err != nil {
		return fmt.Errorf("setfsgid: %w", err)
	}
	if err := unix.Setfsuid(owner.UID); err != nil {
		return fmt.Errorf("setfsuid: %w", err)
	}
	// setfsuid(2) tells of no failure; asking again does.
	if now, err := unix.SetfsuidRetUid(-1); err != nil || now != owner.UID {
		return fmt.Errorf("setfsuid: the id is %d (%w)", now, err)
	}
	if now, err := unix.SetfsgidRetGid(-1); err != nil || now != owner.GID {
		return fmt.Errorf("setfsgid: the id is %d (%w)", now, err)
	}
	return nil
}
