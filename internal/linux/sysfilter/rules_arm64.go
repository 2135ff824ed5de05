package sysfilter

import "golang.org/x/sys/unix"

const (
	processor    = unix.AUDIT_ARCH_AARCH64
	firstForeign = 0xffffffff // there are no others
)

func here() []rule { return nil }
