//go:build linux

package fsioctl

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/linux/abi"
)

// TestExplain has the answers that the test guests' kernels and file systems do not give.
func TestExplain(t *testing.T) {
	plain := place{fs: "ext4", device: "/dev/sda2", blockSize: 4096, pageSize: 4096, regular: true, kernelHas: true, kernel: abi.Version{Major: 6, Minor: 12}}
	with := func(change func(*place)) place {
		p := plain
		change(&p)
		return p
	}
	for name, tt := range map[string]struct {
		op         string
		errno      unix.Errno
		q          question
		p          place
		kind       error
		text, hint string
	}{
		"kernel without it":    {opEnable, unix.EOPNOTSUPP, question{}, with(func(p *place) { p.kernelHas = false }), ErrUnsupported, "the kernel was built without it", "CONFIG_FS_VERITY"},
		"f2fs without it":      {opEnable, unix.EOPNOTSUPP, question{}, with(func(p *place) { p.fs = "f2fs" }), ErrUnsupported, "the f2fs has not the feature", "fsck.f2fs -O verity /dev/sda2"},
		"odd device":           {opEnable, unix.EOPNOTSUPP, question{}, with(func(p *place) { p.device = "/dev/a b" }), ErrUnsupported, "the ext4 has not the feature", "tune2fs -O verity '/dev/a b' turns"},
		"btrfs, metadata":      {opDescriptor, unix.ENOTTY, question{}, with(func(p *place) { p.fs = "btrfs" }), ErrUnsupported, "btrfs keeps it to itself", ""},
		"btrfs, enable":        {opEnable, unix.ENOTTY, question{}, with(func(p *place) { p.fs = "btrfs" }), ErrUnsupported, "the kernel was built without it", "CONFIG_FS_VERITY"},
		"somebody else":        {opEnable, unix.EBUSY, question{}, plain, ErrInUse, "somebody else is enabling it", ""},
		"interrupted":          {opEnable, unix.EINTR, question{}, plain, nil, "interrupted, and as before", "run it again"},
		"too large":            {opEnable, unix.EFBIG, question{4096, 0}, plain, ErrRefusedParams, "too large for its block size", "--block-size"},
		"quota":                {opEnable, unix.EDQUOT, question{}, plain, nil, "quota", "1/128"},
		"algorithms":           {opEnable, unix.ENOPKG, question{4096, 100}, plain, ErrSignature, "or of the signature", "modprobe sha512"},
		"dax":                  {opEnable, unix.EINVAL, question{4096, 0}, with(func(p *place) { p.attributes = unix.STATX_ATTR_DAX }), ErrRefusedParams, "dax", "mount without dax"},
		"small block":          {opEnable, unix.EINVAL, question{512, 0}, plain, ErrRefusedParams, "block size 512, and no kernel takes less than 1024", ""},
		"append-only":          {opEnable, unix.EPERM, question{}, with(func(p *place) { p.attributes = unix.STATX_ATTR_APPEND }), nil, "append-only", "chattr"},
		"not said why":         {opEnable, unix.EIO, question{}, plain, nil, "enable fs-verity: input/output error", ""},
		"a key, not asked for": {opEnable, unix.ENOKEY, question{}, plain, nil, "enable fs-verity: required key not available", ""},
		"measuring":            {opMeasure, unix.EROFS, question{}, plain, nil, "measure: read-only file system", ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := explain(tt.op, tt.errno, tt.q, tt.p)
			if e.Kind != tt.kind || e.Errno != tt.errno || !strings.Contains(e.Error(), tt.text) {
				t.Errorf("%v, kind %v", e, e.Kind)
			}
			if (tt.hint == "") != (e.Hint() == "") || !strings.Contains(e.Hint(), tt.hint) {
				t.Errorf("hint %q, want %q", e.Hint(), tt.hint)
			}
		})
	}
}
