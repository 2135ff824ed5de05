//go:build linux

package fsioctl

import (
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/verity/fsverity"
)

// metadataArg is struct fsverity_read_metadata_arg of linux/fsverity.h.
type metadataArg struct {
	kind, offset, length, buf, reserved uint64
}

// readMetadata fills buf from an offset on, and returns how much there was: less than
// buf holds at the end.
func readMetadata(f *os.File, op string, kind, offset uint64, buf []byte) (int, error) {
	n, errno := metadata(f.Fd(), kind, offset, buf)
	runtime.KeepAlive(f)
	if errno != 0 {
		return 0, explain(op, errno, question{}, look(f))
	}
	return n, nil
}

func metadata(fd uintptr, kind, offset uint64, buf []byte) (int, unix.Errno) {
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&buf[0])
	arg := metadataArg{kind: kind, offset: offset, length: uint64(len(buf)), buf: address(unsafe.Pointer(&buf[0]))}
	return ioctl(fd, unix.FS_IOC_READ_VERITY_METADATA, unsafe.Pointer(&arg))
}

// ReadDescriptor returns all that determines the file's digest. Errors are an *Error, or
// wrap fsverity.ErrDescriptor. The btrfs of 6.12 and before keeps descriptors to itself:
// ErrUnsupported.
func ReadDescriptor(f *os.File) (fsverity.Descriptor, error) {
	// One byte more, so that a longer one is not taken for another.
	buf := make([]byte, fsverity.DescriptorSize+1)
	n, err := readMetadata(f, opDescriptor, unix.FS_VERITY_METADATA_TYPE_DESCRIPTOR, 0, buf)
	if err != nil {
		return fsverity.Descriptor{}, err
	}
	return fsverity.ParseDescriptor(buf[:n])
}

// ReadSignature returns the built-in signature. Errors are an *Error: ErrNoSignature if
// there is none.
func ReadSignature(f *os.File) ([]byte, error) {
	buf := make([]byte, MaxSignature)
	n, err := readMetadata(f, opSignature, unix.FS_VERITY_METADATA_TYPE_SIGNATURE, 0, buf)
	if err != nil {
		return nil, err
	}
	return buf[:n], nil
}
