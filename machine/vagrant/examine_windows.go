package vagrant

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/windows"
)

func freeDisk(dir string) (uint64, error) {
	path, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, err
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(path, &free, nil, nil); err != nil {
		return 0, fmt.Errorf("free disk at %s: %w", dir, err)
	}
	return free, nil
}

// memoryStatus is MEMORYSTATUSEX.
type memoryStatus struct {
	length, load                                                     uint32
	totalPhys, availPhys, totalPage, availPage, totalVirt, availVirt uint64
	extended                                                         uint64
}

func memoryOf() (available, total uint64, err error) {
	s := memoryStatus{length: uint32(unsafe.Sizeof(memoryStatus{}))}
	call := windows.NewLazySystemDLL("kernel32.dll").NewProc("GlobalMemoryStatusEx")
	if ok, _, err := call.Call(uintptr(unsafe.Pointer(&s))); ok == 0 {
		return 0, 0, fmt.Errorf("memory of this machine: %w", err)
	}
	return s.availPhys, s.totalPhys, nil
}

// hyperVAdmin asks as Vagrant does: an elevated administrator, or a member of
// the group Hyper-V Administrators (S-1-5-32-578).
func hyperVAdmin() bool {
	if windows.GetCurrentProcessToken().IsElevated() {
		return true
	}
	sid, err := windows.StringToSid("S-1-5-32-578")
	if err != nil {
		return false
	}
	member, err := windows.Token(0).IsMember(sid)
	return err == nil && member
}
