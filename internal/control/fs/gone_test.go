package fs

import (
	"bytes"
	"log/slog"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// TestUnlessGone: an answer that nobody waits for is not warned of, as package fuse words
// it; anything else is.
func TestUnlessGone(t *testing.T) {
	var out bytes.Buffer
	log := slog.NewLogLogger(unlessGone{slog.NewTextHandler(&out, nil)}, slog.LevelWarn)
	log.Printf("writer: Write/Writev failed, err: %v. opcode: %v", fuse.ENOENT, "LOOKUP")
	if out.Len() != 0 {
		t.Errorf("logged: %s", out.Bytes())
	}
	log.Printf("writer: Write/Writev failed, err: %v. opcode: %v", fuse.Status(syscall.EIO), "LOOKUP")
	if !bytes.Contains(out.Bytes(), []byte("input/output error")) {
		t.Errorf("not logged: %q", out.Bytes())
	}
}
