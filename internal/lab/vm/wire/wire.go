// Package wire is what the host and the guest's init program say to each other: a
// description of the work, placed in the initramfs, and a stream of frames that
// comes back over a serial line.
//
// Firmware and boot loader may write to the same line before the init program
// runs, so the stream begins with a magic string and all before it is dropped.
package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

const (
	// SpecPath is where the guest finds its Spec, as JSON.
	SpecPath = "/.testvm/spec.json"
	// ModuleDir holds the kernel modules that the Spec names.
	ModuleDir = "/.testvm/modules"
	// Device is the guest's end of the frame stream.
	Device = "/dev/ttyS1"

	magic    = "\n\x00ipe-testvm-1\x00\n"
	maxFrame = 1 << 20
)

// ErrFrame means that the stream holds what no writer of this package wrote.
var ErrFrame = errors.New("malformed frame")

// Spec is the work of one boot.
type Spec struct {
	// Modules are loaded in this order before the command starts.
	Modules []Module `json:"modules,omitempty"`
	// Args is the command and its arguments; empty means power off at once.
	Args []string `json:"args,omitempty"`
	Env  []string `json:"env,omitempty"`
	// Dir is the working directory of the command; empty means "/".
	Dir string `json:"dir,omitempty"`
	// Merge sends the standard error where the standard output goes, in order.
	Merge bool `json:"merge,omitempty"`
	// Init takes over process 1 when the guest is prepared; empty means nobody does.
	Init []string `json:"init,omitempty"`
	// Disks is how many of the places for disks, which a template has, are used.
	Disks int `json:"disks,omitempty"`
	// Template makes the guest stop before all that, as a state from which many
	// guests start, each with a Parcel of its own.
	Template bool `json:"template,omitempty"`
}

// Module is a kernel module: its file in the guest, and its parameters.
type Module struct {
	Path   string `json:"path"`
	Params string `json:"params,omitempty"`
}

// Kind says what a frame carries.
type Kind byte

// The kinds of frames. Exit ends the stream; its payload is four bytes, the
// status, big endian. Fault is an error of the init program itself, as text. Ready
// says that a template may be saved.
const (
	Stdout Kind = 1 + iota
	Stderr
	Exit
	Fault
	Ready
)

// Writer writes frames. Several goroutines may use it at once.
type Writer struct {
	mu sync.Mutex
	w  io.Writer
}

// NewWriter begins a stream on w.
func NewWriter(w io.Writer) (*Writer, error) {
	if _, err := io.WriteString(w, magic); err != nil {
		return nil, fmt.Errorf("begin frame stream: %w", err)
	}
	return &Writer{w: w}, nil
}

// Write sends p as one frame of the kind, or as several when it is long.
func (w *Writer) Write(kind Kind, p []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		n := min(len(p), maxFrame)
		frame := make([]byte, 0, 5+n)
		frame = append(frame, byte(kind))
		frame = binary.BigEndian.AppendUint32(frame, uint32(n))
		if _, err := w.w.Write(append(frame, p[:n]...)); err != nil {
			return fmt.Errorf("write frame: %w", err)
		}
		if p = p[n:]; len(p) == 0 {
			return nil
		}
	}
}

// WriteExit sends the status of the command, which ends the stream.
func (w *Writer) WriteExit(status int) error {
	return w.Write(Exit, binary.BigEndian.AppendUint32(nil, uint32(status)))
}

// Status is the number in the payload of an Exit frame.
func Status(payload []byte) (int, error) {
	if len(payload) != 4 {
		return 0, fmt.Errorf("read exit status of %d bytes: %w", len(payload), ErrFrame)
	}
	return int(int32(binary.BigEndian.Uint32(payload))), nil
}

// Reader reads frames.
type Reader struct {
	r *bufio.Reader
}

// NewReader waits for the beginning of a stream on r, dropping what precedes it.
// It gives io.EOF when r ends first.
func NewReader(r io.Reader) (*Reader, error) {
	b := bufio.NewReader(r)
	for matched := 0; matched < len(magic); {
		c, err := b.ReadByte()
		if err != nil {
			return nil, err
		}
		matched = advance(matched, c)
	}
	return &Reader{r: b}, nil
}

// advance is the number of bytes of the magic string matched after c, when
// matched of them were before. The first byte occurs again only at the end, so
// a mismatch never leaves more than that one byte matched.
func advance(matched int, c byte) int {
	switch c {
	case magic[matched]:
		return matched + 1
	case magic[0]:
		return 1
	}
	return 0
}

// Next gives the next frame; io.EOF at the end of the stream, ErrFrame when it
// is damaged or cut short.
func (r *Reader) Next() (Kind, []byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(r.r, head[:]); err != nil {
		return 0, nil, cutShort(err)
	}
	kind, size := Kind(head[0]), binary.BigEndian.Uint32(head[1:])
	if kind < Stdout || kind > Ready || size > maxFrame {
		return 0, nil, fmt.Errorf("read frame of kind %d and %d bytes: %w", kind, size, ErrFrame)
	}
	payload := make([]byte, size)
	if _, err := io.ReadFull(r.r, payload); err != nil {
		return 0, nil, fmt.Errorf("read %d bytes: %w", size, ErrFrame)
	}
	return kind, payload, nil
}

func cutShort(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("read frame header: %w", ErrFrame)
	}
	return err
}
