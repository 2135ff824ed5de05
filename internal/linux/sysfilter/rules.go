//go:build linux

package sysfilter

import "golang.org/x/sys/unix"

const (
	setID = unix.S_ISUID | unix.S_ISGID
	// namespaces are the flags of clone(2) that make one.
	namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
		unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET
	// personalityNow only asks.
	personalityNow = 0xffffffff
)

// everywhere lists what all processors have. mount and umount2 stay, for the control
// tree, and the BPF and security file systems; so do bpf and keyctl.
func everywhere() []rule {
	return append(always(
		// Other kernels, code in the kernel, the end of this one.
		unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD,
		unix.SYS_REBOOT, unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_ACCT, unix.SYS_QUOTACTL, unix.SYS_SYSLOG,
		unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD,
		// Calls that this filter would not see.
		unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
		// Other processes and their memory.
		unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PIDFD_GETFD, unix.SYS_KCMP,
		unix.SYS_MOVE_PAGES, unix.SYS_MIGRATE_PAGES,
		// Files by other ways than their paths; other roots and namespaces.
		unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_UNSHARE, unix.SYS_SETNS,
		unix.SYS_OPEN_TREE, unix.SYS_MOVE_MOUNT, unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK,
		unix.SYS_MOUNT_SETATTR,
		// The clock, the names of the machine, the processor before everybody else.
		unix.SYS_CLOCK_SETTIME, unix.SYS_SETTIMEOFDAY, unix.SYS_ADJTIMEX, unix.SYS_CLOCK_ADJTIME,
		unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME,
		unix.SYS_SCHED_SETSCHEDULER, unix.SYS_SCHED_SETATTR, unix.SYS_SCHED_SETPARAM,
	),
		// Their arguments are in memory, which a filter cannot read: who calls them tries
		// the older call then.
		rule{unix.SYS_CLONE3, unix.ENOSYS, nil},
		rule{unix.SYS_OPENAT2, unix.ENOSYS, nil},
		rule{unix.SYS_CLONE, unix.EPERM, hasBits{0, namespaces}},
		rule{unix.SYS_PERSONALITY, unix.EPERM, isNone{0, []uint32{personalityNow}}},
		rule{unix.SYS_SOCKET, unix.EAFNOSUPPORT, isNone{0, []uint32{unix.AF_UNIX, unix.AF_NETLINK}}},
		rule{unix.SYS_SOCKETPAIR, unix.EAFNOSUPPORT, isNone{0, []uint32{unix.AF_UNIX}}},
		rule{unix.SYS_FCHMOD, unix.EPERM, hasBits{1, setID}},
		rule{unix.SYS_FCHMODAT, unix.EPERM, hasBits{2, setID}},
		rule{unix.SYS_FCHMODAT2, unix.EPERM, hasBits{2, setID}},
		rule{unix.SYS_OPENAT, unix.EPERM, hasBits{3, setID}},
		rule{unix.SYS_MKDIRAT, unix.EPERM, hasBits{2, setID}},
		rule{unix.SYS_MKNODAT, unix.EPERM, hasBits{2, setID}},
	)
}

func always(calls ...uintptr) (rules []rule) {
	for _, c := range calls {
		rules = append(rules, rule{c, unix.EPERM, nil})
	}
	return rules
}
