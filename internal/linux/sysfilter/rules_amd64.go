package sysfilter

import "golang.org/x/sys/unix"

const (
	processor = unix.AUDIT_ARCH_X86_64
	// firstForeign is the first number of the calls with 32-bit pointers.
	firstForeign = 0x40000000
)

// here lists the older calls, which newer processors do without.
func here() []rule {
	return append(always(unix.SYS_IOPL, unix.SYS_IOPERM, unix.SYS_MODIFY_LDT, unix.SYS_USELIB),
		rule{unix.SYS_CHMOD, unix.EPERM, hasBits{1, setID}},
		rule{unix.SYS_OPEN, unix.EPERM, hasBits{2, setID}},
		rule{unix.SYS_CREAT, unix.EPERM, hasBits{1, setID}},
		rule{unix.SYS_MKDIR, unix.EPERM, hasBits{1, setID}},
		rule{unix.SYS_MKNOD, unix.EPERM, hasBits{1, setID}},
	)
}
