package eintr_test

import (
	"errors"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/eintr"
)

func TestAgain(t *testing.T) {
	for _, want := range []error{nil, io.EOF, unix.EAGAIN} {
		answers := []error{unix.EINTR, os.NewSyscallError("poll", unix.EINTR), want, errors.New("once too often")}
		calls := 0
		got := eintr.Again(func() error { calls++; return answers[calls-1] })
		if got != want || calls != 3 {
			t.Errorf("got %v after %d calls, want %v after 3", got, calls, want)
		}
	}
}
