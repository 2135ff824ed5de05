package errno

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/manifest"
	"github.com/ipe-linux/ipe/policy"
	"github.com/ipe-linux/ipe/sign"
)

// remote is a refusal by another process.
type remote string

func (remote) Error() string    { return "no" }
func (r remote) Symbol() string { return string(r) }

func TestSymbol(t *testing.T) {
	mine := New(unix.EEXIST, "it is there")
	_, unparsed := policy.Parse([]byte("x"))
	for _, tt := range []struct {
		err   error
		want  string
		known bool
	}{
		{nil, "", false},
		{errors.New("x"), "EIO", false},
		{mine, "EEXIST", true},
		{fmt.Errorf("load: %w", mine), "EEXIST", true},
		{sign.ErrUntrusted, "ENOKEY", true},
		{unparsed, "EBADMSG", true},
		{fmt.Errorf("x: %w (more than 1 bytes)", manifest.ErrTooLarge), "EFBIG", true},
		// The first counts.
		{fmt.Errorf("%w: %w", mine, sign.ErrUntrusted), "EEXIST", true},
		{fmt.Errorf("%w: %w", sign.ErrUntrusted, mine), "ENOKEY", true},
		{errors.Join(errors.New("x"), fmt.Errorf("a: %w", mine), policy.ErrRange), "EEXIST", true},
		// The system's counts least.
		{&os.PathError{Op: "open", Path: "x", Err: unix.EROFS}, "EROFS", true},
		{fmt.Errorf("%w: %w", unix.EROFS, mine), "EEXIST", true},
		{fmt.Errorf("%w: %w", unix.EROFS, unix.ENOSPC), "EROFS", true},
		// What came along is not looked up.
		{fmt.Errorf("ask: %w", remote("ESTALE")), "ESTALE", true},
		{fmt.Errorf("%w: %w", mine, remote("ENEW")), "ENEW", true},
	} {
		if got := Symbol(tt.err); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.err, got, tt.want)
		}
		got, known := KnownSymbol(tt.err)
		if known != tt.known || known && got != tt.want || !known && got != "" {
			t.Errorf("%v: %q, %t, want %t", tt.err, got, known, tt.known)
		}
	}
}

func TestOf(t *testing.T) {
	for err, want := range map[error]unix.Errno{nil: 0, errors.New("x"): unix.EIO, New(unix.EPERM, "no"): unix.EPERM, unix.ENOMEM: unix.ENOMEM} {
		if got := Of(err); got != want {
			t.Errorf("%v: %v, want %v", err, got, want)
		}
	}
	if New(unix.EPERM, "no").Error() != "no" || errors.Is(New(unix.EPERM, "no"), New(unix.EPERM, "no")) {
		t.Error("sentinels are not apart")
	}
}
