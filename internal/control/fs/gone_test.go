package fs

import (
	"bytes"
	"log/slog"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// TestUnlessGone: an answer that nobody waits for is not warned of, as package fuse words
// it, nor is the end of the connection when it was to end; anything else is.
func TestUnlessGone(t *testing.T) {
	var out bytes.Buffer
	var closing atomic.Bool
	log := slog.NewLogLogger(unlessGone{slog.NewTextHandler(&out, nil), &closing}, slog.LevelWarn)
	log.Printf("writer: Write/Writev failed, err: %v. opcode: %v", fuse.ENOENT, "LOOKUP")
	if out.Len() != 0 {
		t.Errorf("logged: %s", out.Bytes())
	}
	log.Printf("writer: Write/Writev failed, err: %v. opcode: %v", fuse.Status(syscall.EIO), "LOOKUP")
	if !bytes.Contains(out.Bytes(), []byte("input/output error")) {
		t.Errorf("not logged: %q", out.Bytes())
	}
	for _, ends := range []bool{false, true} {
		out.Reset()
		closing.Store(ends)
		log.Printf("Failed to read from fuse conn: %v", fuse.Status(syscall.ECONNABORTED))
		if logged := out.Len() != 0; logged == ends {
			t.Errorf("cut off, closing %t: logged %t", ends, logged)
		}
	}
}
