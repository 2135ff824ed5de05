//go:build linux

package scenarios

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// page is the size of every mapping.
const page = 4096

// subject is a file, or memory, that acts are tried on.
type subject struct {
	name string
	path string
	fd   int
	// cpath is the path as execve takes it.
	cpath *byte
	// held is a page of the file that was mapped executable before any policy.
	held uintptr
	// shared is such a page that is shared.
	shared uintptr
	// acts are what can be tried.
	acts []act
}

// openSubjects opens a file of every kind.
func (s *Session) openSubjects() error {
	for _, name := range []string{"/tmp/probe", "/probe"} {
		if err := os.WriteFile(name, []byte(script), 0o755); err != nil {
			return err
		}
	}
	memfd, err := memoryFile("memory")
	if err != nil {
		return err
	}
	for _, f := range []struct{ name, path string }{
		{"initramfs", "/probe"},
		{"tmpfs", "/tmp/probe"},
		{"memfd", memfd},
		{"volume", "/volume/probe"},
		{"other volume", "/other/probe"},
		{"signed volume", "/signed/probe"},
		{"plain", "/files/plain"},
		{"sealed", "/files/sealed"},
		{"resealed", "/files/resealed"},
		{"signed", "/files/signed"},
		{"sealed on volume", "/both/sealed"},
		{"plain on volume", "/both/plain"},
		{"overlay on volume", "/overlay-volume/probe"},
		{"overlay on overlay", "/overlay-overlay/probe"},
		{"overlay on sealed", "/overlay-files/sealed"},
		{"overlay on signed", "/overlay-files/signed"},
		{"overlay on plain", "/overlay-files/plain"},
		{"overlay copied up", "/overlay-files/changed"},
		{"overlay on initramfs", "/overlay-ramdisk/probe"},
		{"overlay on sealed on volume", "/overlay-both/sealed"},
		{"overlay on signed volume", "/overlay-signed/probe"},
	} {
		sub, err := openSubject(f.name, f.path)
		if err != nil {
			return err
		}
		s.subjects = append(s.subjects, sub)
	}
	memory := []*subject{{name: "no file", acts: noFileActs()}}
	s.subjects = append(s.subjects, memory...)
	s.marker, err = openSubject("marker", "/marker/probe")
	return err
}

func openSubject(name, path string) (*subject, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	sub := &subject{name: name, path: path, fd: fd, acts: fileActs()}
	if sub.cpath, err = unix.BytePtrFromString(path); err != nil {
		return nil, err
	}
	if sub.held, err = mmap(page, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE, fd); err != nil {
		return nil, fmt.Errorf("map %s: %w", path, err)
	}
	if sub.shared, err = mmap(page, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_SHARED, fd); err != nil {
		return nil, fmt.Errorf("map %s: %w", path, err)
	}
	return sub, nil
}

// memoryFile makes a script in a memfd and gives its path.
func memoryFile(name string) (string, error) {
	fd, err := unix.MemfdCreate(name, 0)
	if err != nil {
		return "", fmt.Errorf("create memfd: %w", err)
	}
	if err := writeOnce(fd, script); err != nil {
		return "", fmt.Errorf("write memfd: %w", err)
	}
	// One that is open for writing is busy.
	path := fmt.Sprintf("/proc/self/fd/%d", fd)
	ro, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("open memfd: %w", err)
	}
	return fmt.Sprintf("/proc/self/fd/%d", ro), unix.Close(fd)
}

// writeOnce makes one write; one that takes less than all is an error of its own.
func writeOnce(fd int, text string) error {
	n, err := unix.Write(fd, []byte(text))
	if err == nil && n != len(text) {
		return fmt.Errorf("%d of %d bytes are taken: %w", n, len(text), io.ErrShortWrite)
	}
	return err
}
