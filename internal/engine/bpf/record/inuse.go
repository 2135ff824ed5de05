package record

import (
	"fmt"
	"io"
	"structs"
)

// InUse is struct in_use of bpf/inuse.h: a process has an fs-verity file open, or mapped.
type InUse struct {
	_     structs.HostLayout
	Inode uint64 // its address: which file it is
	Start uint64 // of the mapping
	End   uint64 // 0 if it is open
	Pid   uint32
	Fd    uint32
}

// EachInUse calls fn with each use that an iterator of bpf/inuse.h tells of, until that
// fails.
func EachInUse(r io.Reader, fn func(InUse) error) error {
	return each(r, func(u *InUse) error { return fn(*u) })
}

// Link is that of procfs to the file. Tasks that are no processes have theirs, too.
func (u InUse) Link() string {
	if u.End == 0 {
		return fmt.Sprintf("/proc/%d/fd/%d", u.Pid, u.Fd)
	}
	return fmt.Sprintf("/proc/%d/map_files/%x-%x", u.Pid, u.Start, u.End)
}
