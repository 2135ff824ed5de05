//go:build guest

package bpf_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/engine/bpf"
	"github.com/ipe-linux/ipe/internal/lab/await"
)

// TestEngineRecallsBesideDeadServer: a file of a FUSE server that does not answer any
// more is open and mapped. A start asks it nothing, so it does not wait for it.
func TestEngineRecallsBesideDeadServer(t *testing.T) {
	mountAll(t) // and with it the key, without which there is nothing to recall
	server := serveFUSE(t, "/dead")
	fd, err := unix.Open("/dead/file", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ, unix.MAP_PRIVATE); err != nil {
		t.Fatal(err)
	}
	server.dead.Store(true)
	waits := make(chan error, 1)
	go func() {
		var st unix.Stat_t
		waits <- unix.Fstat(fd, &st)
	}()
	if !await.Until(func() bool { return server.ignored.Load() > 0 }) {
		t.Fatal("nobody asked the server")
	}
	started := make(chan error, 1)
	go func() { started <- startAndRecall("/sys/fs/bpf/dead") }()
	select {
	case err = <-started:
	case <-time.After(3 * time.Minute):
		t.Error("the start waits for a dead file server")
	}
	if n := server.ignored.Load(); err != nil || n != 1 {
		t.Errorf("start: %v; the server was asked %d times, want once, by this test", err, n)
	}
	if err := unix.Unmount("/dead", unix.MNT_FORCE|unix.MNT_DETACH); err != nil { // ends all who wait
		t.Fatal(err)
	}
	if err := <-waits; err == nil {
		t.Error("the server was not dead")
	}
}

func startAndRecall(pins string) error {
	defer os.RemoveAll(pins)
	e, err := bpf.Open(bpf.Options{PinDir: pins})
	if err != nil {
		return err
	}
	e.Recall()
	return e.Close()
}

// fuseServer has one file, until it is dead: then it takes questions and answers none.
type fuseServer struct {
	fd      int
	dead    atomic.Bool
	ignored atomic.Int32
}

// The questions that it knows, and those that want no answer.
const (
	fuseLookup      = 1
	fuseForget      = 2
	fuseGetattr     = 3
	fuseOpen        = 14
	fuseInit        = 26
	fuseInterrupt   = 36
	fuseBatchForget = 42
)

func serveFUSE(t *testing.T, dir string) *fuseServer {
	t.Helper()
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("dead", dir, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd)); err != nil {
		t.Fatal(err)
	}
	s := &fuseServer{fd: fd}
	go s.run()
	return s
}

func (s *fuseServer) run() {
	buf := make([]byte, 1<<18)
	for {
		n, err := unix.Read(s.fd, buf)
		if err != nil || n < 40 { // a header has 40 bytes
			return
		}
		code, unique := binary.NativeEndian.Uint32(buf[4:]), binary.NativeEndian.Uint64(buf[8:])
		switch {
		case code == fuseForget || code == fuseBatchForget || code == fuseInterrupt:
		case s.dead.Load():
			s.ignored.Add(1)
		default:
			s.answer(unique, answerTo(code))
		}
	}
}

// answer sends a reply; an empty one says that there is no such function.
func (s *fuseServer) answer(unique uint64, body []byte) {
	var b bytes.Buffer
	head := struct {
		Len    uint32
		Error  int32
		Unique uint64
	}{uint32(16 + len(body)), 0, unique}
	if body == nil {
		head.Error = -int32(unix.ENOSYS)
	}
	_ = binary.Write(&b, binary.NativeEndian, head) // a buffer takes all
	b.Write(body)
	_, _ = unix.Write(s.fd, b.Bytes()) // whoever asked may be gone
}

func answerTo(code uint32) []byte {
	words := func(w ...uint32) []byte {
		b, _ := binary.Append(nil, binary.NativeEndian, w)
		return b
	}
	// inode 2, no size, no times; then a file's mode, one link
	attr := append(words(2, 0), make([]byte, 52)...)
	attr = append(attr, words(unix.S_IFREG|0o444, 1, 0, 0, 0, 4096, 0)...)
	switch code {
	case fuseInit: // version 7.31, and no wishes
		return append(words(7, 31), make([]byte, 56)...)
	case fuseLookup: // inode 2; neither name nor attributes may be kept
		return append(append(words(2, 0), make([]byte, 32)...), attr...)
	case fuseGetattr:
		return append(make([]byte, 16), attr...)
	case fuseOpen:
		return make([]byte, 16)
	}
	return nil
}
