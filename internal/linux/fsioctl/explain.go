//go:build linux

package fsioctl

import (
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/hint"
	"github.com/ipe-linux/ipe/internal/linux/abi"
	"github.com/ipe-linux/ipe/verity/fsverity"
)

// question is what was asked for, as far as it can be a reason.
type question struct {
	blockSize int // bytes
	signature int // bytes
}

// explain gives the reason for an error number. The numbers are those of fs/verity/
// (enable.c, measure.c, read_metadata.c, open.c, signature.c) and of the file systems.
func explain(op string, errno unix.Errno, q question, p place) *Error {
	e := &Error{Op: op, Errno: errno}
	switch errno {
	case unix.EOPNOTSUPP, unix.ENOTTY:
		return e.unsupported(p)
	case unix.ENODATA:
		if op == opSignature && p.attributes&unix.STATX_ATTR_VERITY != 0 {
			return e.because(ErrNoSignature, "")
		}
		return e.because(ErrNotEnabled, "").hinted("enable it with %s", hint.FileEnable)
	case unix.EINTR:
		return e.because(nil, "interrupted, and as before").hinted("run it again: what is done stays done")
	}
	if op != opEnable {
		return e
	}
	if e.aboutSignature(q) {
		return e
	}
	return e.aboutFile(q, p)
}

// unsupported says whether it is the file system, its features or the kernel.
func (e *Error) unsupported(p place) *Error {
	switch {
	case !p.regular:
		return e.because(ErrNotRegular, "")
	case p.overlay():
		return e.because(ErrUnsupported, "overlayfs passes no such requests on").
			hinted("enable fs-verity on the file of the layer; the overlay then reads it verified")
	case p.fs == "ext4" && !p.kernelHas || p.fs == "f2fs" && !p.kernelHas:
		return e.because(ErrUnsupported, "the kernel was built without it").hinted("it takes a kernel with CONFIG_FS_VERITY")
	case p.fs == "ext4":
		return e.because(ErrUnsupported, "the ext4 has not the feature verity").
			hinted("tune2fs -O verity %s turns it on; the file must have extents, too (chattr +e)", hint.Device(p.device))
	case p.fs == "f2fs":
		return e.because(ErrUnsupported, "the f2fs has not the feature verity").
			hinted("fsck.f2fs -O verity %s turns it on while it is not mounted", hint.Device(p.device))
	case p.fs == "btrfs" && e.Op != opEnable && e.Op != opMeasure:
		return e.because(ErrUnsupported, "btrfs keeps it to itself")
	case p.fs == "btrfs":
		return e.because(ErrUnsupported, "the kernel was built without it").hinted("it takes a kernel with CONFIG_FS_VERITY")
	}
	return e.because(ErrUnsupported, "the file system is %s", p.fs).hinted("file systems that can have it are ext4, f2fs and btrfs")
}

// aboutSignature explains numbers that only a signature can bring. It returns false for
// others.
func (e *Error) aboutSignature(q question) bool {
	if q.signature == 0 {
		return false
	}
	switch e.Errno {
	case unix.ENOKEY:
		_ = e.because(ErrKey, "the keyring .fs-verity has not its certificate").
			hinted("as root: keyctl padd asymmetric '' %%keyring:.fs-verity <cert.der, before the keyring is restricted")
	case unix.EKEYREJECTED:
		_ = e.because(ErrSignature, "it is not of this content with these parameters, or altered").
			hinted("sign the file with %s and the same %s, %s and %s", hint.FileSign, hint.FileHash, hint.BlockSize, hint.Salt)
	case unix.EBADMSG:
		_ = e.because(ErrSignature, "not a detached PKCS#7 message").hinted("make it with %s, or fsverity sign", hint.FileSign)
	case unix.EMSGSIZE:
		_ = e.because(ErrSignature, "%d bytes, more than %d", q.signature, MaxSignature).hinted("leave certificates out of the message")
	case unix.ENOPKG:
		_ = e.because(ErrSignature, "the kernel has not the algorithms of the file's digest or of the signature").
			hinted("modprobe sha512_generic, or sign with RSA and SHA-256")
	default:
		return false
	}
	return true
}

// aboutFile explains what remains.
func (e *Error) aboutFile(q question, p place) *Error {
	switch e.Errno {
	case unix.EEXIST:
		return e.because(ErrEnabled, "")
	case unix.ETXTBSY:
		return e.because(ErrInUse, "a process has it open for writing").hinted("fuser -v or lsof show who has it open; close it, or stop the service")
	case unix.EBUSY:
		return e.because(ErrInUse, "somebody else is enabling it now")
	case unix.EISDIR:
		return e.because(ErrNotRegular, "")
	case unix.EPERM:
		return e.notPermitted(q, p)
	case unix.EACCES:
		return e.hinted("only who may write to a file can enable fs-verity: be its owner, or root")
	case unix.EROFS:
		return e.hinted("mount -o remount,rw for as long as it takes")
	case unix.EINVAL:
		return e.badParams(q, p)
	case unix.ENOPKG:
		return e.because(ErrRefusedParams, "the kernel has not the hash algorithm").hinted("modprobe sha512_generic, or choose sha256")
	case unix.EFBIG:
		return e.because(ErrRefusedParams, "the file is too large for its block size").hinted("choose a larger %s", hint.BlockSize)
	case unix.ENOSPC, unix.EDQUOT:
		return e.hinted("a hash tree takes about 1/128 of the file's size (sha256, blocks of 4096 bytes)")
	}
	return e
}

func (e *Error) notPermitted(q question, p place) *Error {
	switch {
	case p.attributes&(unix.STATX_ATTR_IMMUTABLE|unix.STATX_ATTR_APPEND) != 0:
		return e.because(nil, "the file is immutable or append-only").hinted("chattr -i -a, then again")
	case q.signature == 0 && p.needSignatures:
		return e.because(ErrSignatureNeeded, "fs.verity.require_signatures is 1").hinted("sign the file with %s, and give %s", hint.FileSign, hint.FileSignature)
	}
	return e
}

// verityBlocks is the first kernel that takes blocks smaller than a page.
var verityBlocks = abi.Version{Major: 6, Minor: 3}

func (e *Error) badParams(q question, p place) *Error {
	switch {
	case !p.regular:
		return e.because(ErrNotRegular, "")
	case q.blockSize < fsverity.MinKernelBlockSize:
		return e.because(ErrRefusedParams, "block size %d, and no kernel takes less than %d", q.blockSize, fsverity.MinKernelBlockSize)
	case q.blockSize > p.pageSize:
		return e.because(ErrRefusedParams, "block size %d, more than a page of %d bytes", q.blockSize, p.pageSize)
	case p.kernel.Compare(verityBlocks) < 0 && q.blockSize != p.pageSize:
		return e.because(ErrRefusedParams, "block size %d, and Linux before 6.3 takes only that of a page, %d", q.blockSize, p.pageSize)
	case q.blockSize > p.blockSize:
		return e.because(ErrRefusedParams, "block size %d, more than the file system's of %d bytes", q.blockSize, p.blockSize)
	case p.attributes&unix.STATX_ATTR_DAX != 0:
		return e.because(ErrRefusedParams, "the file is mapped directly from its device (dax)").hinted("mount without dax")
	}
	return e
}
