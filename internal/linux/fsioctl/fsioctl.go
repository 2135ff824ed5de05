//go:build linux

// Package fsioctl asks the kernel for what package fsverity computes: it enables
// fs-verity on a file, measures it, and reads what is kept of it.
//
// The calls are those of Documentation/filesystems/fsverity.rst in the kernel's
// sources, on an open file. What the kernel refuses is an *Error: it says what the
// error number means here, for one number has many reasons, and what can be done.
package fsioctl

import (
	"bytes"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/verity/fsverity"
)

// MaxSignature is the length of the longest built-in signature in bytes:
// FS_VERITY_MAX_SIGNATURE_SIZE of fs/verity/fsverity_private.h.
const MaxSignature = 16128

// algorithms have numbers in linux/fsverity.h.
var algorithms = map[string]uint32{"sha256": unix.FS_VERITY_HASH_ALG_SHA256, "sha512": unix.FS_VERITY_HASH_ALG_SHA512}

// Enable makes a file read-only for ever, measured by the parameters, with a built-in
// signature if there is one. The kernel reads the whole file meanwhile. The file must be
// open for reading only, by us and by all others, and the caller must be one who may
// write to it. Either it is enabled afterwards or nothing has changed, whatever
// interrupts it.
//
// Errors wrap fsverity.ErrParams or are an *Error.
func Enable(f *os.File, p fsverity.Params, signature []byte) error {
	arg, err := request(p)
	if err != nil {
		return err
	}
	var pin runtime.Pinner
	defer pin.Unpin()
	if len(p.Salt) > 0 {
		pin.Pin(&p.Salt[0])
		arg.Salt_size, arg.Salt_ptr = uint32(len(p.Salt)), address(unsafe.Pointer(&p.Salt[0]))
	}
	if len(signature) > 0 {
		pin.Pin(&signature[0])
		arg.Sig_size, arg.Sig_ptr = uint32(len(signature)), address(unsafe.Pointer(&signature[0]))
	}
	if _, errno := call(f, unix.FS_IOC_ENABLE_VERITY, unsafe.Pointer(&arg)); errno != 0 {
		return explain(opEnable, errno, question{int(arg.Block_size), len(signature)}, look(f))
	}
	return nil
}

// request fills in what is no pointer.
func request(p fsverity.Params) (arg unix.FsverityEnableArg, err error) {
	if _, err := fsverity.NewWriter(p); err != nil {
		return arg, err
	}
	arg.Version = 1
	arg.Hash_algorithm, arg.Block_size = unix.FS_VERITY_HASH_ALG_SHA256, fsverity.DefaultBlockSize
	if p.Algorithm != "" {
		arg.Hash_algorithm = algorithms[p.Algorithm]
	}
	if p.BlockSize != 0 {
		arg.Block_size = uint32(p.BlockSize)
	}
	return arg, nil
}

// largestDigest is the length of sha512's in bytes.
const largestDigest = 64

// Measure returns the file digest as the kernel has it, in constant time. Errors are an
// *Error; ErrNotEnabled says that fs-verity could be enabled and is not.
func Measure(f *os.File) (digest.Digest, error) {
	d, known, errno := measure(f.Fd())
	runtime.KeepAlive(f)
	switch {
	case errno != 0:
		return d, explain(opMeasure, errno, question{}, look(f))
	case !known:
		return d, &Error{Op: opMeasure, Kind: ErrUnsupported, Detail: "a hash algorithm that is not known here", Errno: unix.ENOPKG}
	}
	return d, nil
}

// Ask returns the digest that the kernel has of an open file, if any. It is for many
// files of which few have fs-verity: unlike Measure it does not look for reasons.
func Ask(fd uintptr) (d digest.Digest, ok bool) {
	d, known, errno := measure(fd)
	return d, known && errno == 0
}

// AskWith is Ask for a digest that was made with these parameters, as far as the kernel
// says with which.
func AskWith(fd uintptr, p fsverity.Params) (digest.Digest, bool) {
	d, ok := Ask(fd)
	if !ok {
		return d, false
	}
	buf := make([]byte, fsverity.DescriptorSize+1)
	n, errno := metadata(fd, unix.FS_VERITY_METADATA_TYPE_DESCRIPTOR, 0, buf)
	if errno != 0 {
		return digest.Digest{}, false
	}
	have, err := fsverity.ParseDescriptor(buf[:n])
	same := err == nil && have.Algorithm == p.Algorithm && have.BlockSize == p.BlockSize && bytes.Equal(have.Salt, p.Salt)
	return d, same
}

// measure is known to have a digest of an algorithm that this package knows.
func measure(fd uintptr) (d digest.Digest, known bool, errno unix.Errno) {
	var arg struct {
		unix.FsverityDigest
		sum [largestDigest]byte
	}
	arg.Size = largestDigest
	if _, errno := ioctl(fd, unix.FS_IOC_MEASURE_VERITY, unsafe.Pointer(&arg)); errno != 0 {
		return d, false, errno
	}
	for name, number := range algorithms {
		if size, _ := digest.AlgorithmSize(name); number == uint32(arg.Algorithm) && size == int(arg.Size) {
			return digest.New(name, arg.sum[:size]), true, 0
		}
	}
	return d, false, 0
}

// address is a pointer as the kernel's structures hold it. What it points to must be
// pinned until the call is over.
func address(p unsafe.Pointer) uint64 { return uint64(uintptr(p)) }

// call is ioctl(2). The structures that arg points to keep no stack addresses: they are
// pinned.
func call(f *os.File, number uint, arg unsafe.Pointer) (int, unix.Errno) {
	n, errno := ioctl(f.Fd(), number, arg)
	runtime.KeepAlive(f)
	return n, errno
}

func ioctl(fd uintptr, number uint, arg unsafe.Pointer) (int, unix.Errno) {
	n, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, uintptr(number), uintptr(arg))
	return int(n), errno
}
