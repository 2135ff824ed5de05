package dmverity

import (
	"errors"
	"io"
)

// Device is a file or block device. Several goroutines read it at the same time.
type Device interface {
	io.ReaderAt
	io.WriterAt
}

// Image is a volume with the devices that it lies on. A method writes to those that it
// names, and only reads the others.
type Image struct {
	Volume
	// Data is the data device, Hashes the one with the hash area; they may be one.
	Data, Hashes Device
	// Parity is the device of the error correction FEC. Both are nil without one; it may
	// be the hash device.
	Parity Device
	FEC    *FEC
}

// ErrReadOnly says that a device of [ReadOnly] was to be written.
var ErrReadOnly = errors.New("device is read-only")

// ReadOnly returns a device of what can only be read. Writing to it gives ErrReadOnly.
func ReadOnly(r io.ReaderAt) Device { return readOnly{r} }

type readOnly struct{ io.ReaderAt }

// WriteAt implements [io.WriterAt].
func (readOnly) WriteAt([]byte, int64) (int, error) { return 0, ErrReadOnly }

// forgetful is a device that forgets what is written.
type forgetful struct{ io.ReaderAt }

// WriteAt implements [io.WriterAt].
func (forgetful) WriteAt(b []byte, _ int64) (int, error) { return len(b), nil }
