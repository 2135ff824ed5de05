package ui

import (
	"errors"
	"fmt"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// errInterrupted: a signal came while a secret was asked for.
var errInterrupted = errors.New("interrupted")

// CanAsk reports whether standard input is a terminal, so that a secret can be asked for.
func (u *UI) CanAsk() bool { return isTerminal(u.stdin) }

// AskSecret prompts on the controlling terminal and reads a line that it does not
// show. A signal ends it with the terminal as it was before.
func AskSecret(prompt string) ([]byte, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer tty.Close()
	before, err := term.GetState(int(tty.Fd()))
	if err != nil {
		return nil, fmt.Errorf("ask for passphrase: %w", err)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, unix.SIGTERM, unix.SIGHUP)
	defer signal.Stop(signals)
	fmt.Fprint(tty, prompt)
	defer fmt.Fprintln(tty)
	return readSecret(int(tty.Fd()), before, signals)
}

func readSecret(fd int, before *term.State, signals <-chan os.Signal) ([]byte, error) {
	type answer struct {
		secret []byte
		err    error
	}
	done := make(chan answer, 1)
	go func() {
		secret, err := term.ReadPassword(fd)
		done <- answer{secret, err}
	}()
	select {
	case a := <-done:
		if a.err != nil {
			return nil, fmt.Errorf("ask for passphrase: %w", a.err)
		}
		return a.secret, nil
	case <-signals:
		return nil, errors.Join(errInterrupted, term.Restore(fd, before))
	}
}
