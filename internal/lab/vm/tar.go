package vm

import (
	"archive/tar"
	"fmt"
	"io"
)

// tarWriter writes a tree for the guest's init program to unpack.
type tarWriter struct{ w *tar.Writer }

func (t tarWriter) add(e entry) error {
	head := &tar.Header{Name: e.name, Mode: int64(e.mode & 0o777), Format: tar.FormatPAX}
	switch e.mode &^ 0o777 {
	case cpioDir:
		head.Typeflag = tar.TypeDir
	case cpioSymlink:
		target, err := io.ReadAll(e.body)
		if err != nil {
			return fmt.Errorf("archive %s: %w", e.name, err)
		}
		head.Typeflag, head.Linkname = tar.TypeSymlink, string(target)
	case cpioRegular:
		head.Typeflag, head.Size = tar.TypeReg, e.size
	default:
		return nil // a device: the kernel has made it
	}
	if err := t.w.WriteHeader(head); err != nil {
		return fmt.Errorf("archive %s: %w", e.name, err)
	}
	if head.Size == 0 {
		return nil
	}
	if _, err := io.CopyN(t.w, e.body, e.size); err != nil {
		return fmt.Errorf("archive %s: %w", e.name, err)
	}
	return nil
}

func (t tarWriter) finish() error { return t.w.Close() }
