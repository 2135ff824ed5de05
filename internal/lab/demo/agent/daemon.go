//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/lab/demo/row"
)

// startTime is how long iped may take to answer; an emulated machine is slow.
const startTime = 5 * time.Minute

// daemon is a running iped.
type daemon struct {
	cmd   *exec.Cmd
	ended chan error
}

// startDaemon starts iped and waits until it answers.
func (a *agent) startDaemon(ctx context.Context) (api.Status, error) {
	cmd := exec.CommandContext(ctx, "iped", "--engine", "bpf", "--trust", row.TrustDir, "--state", state+"/ipe", "--profile", a.profile)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return api.Status{}, fmt.Errorf("start iped: %w", err)
	}
	a.iped = &daemon{cmd: cmd, ended: make(chan error, 1)}
	go func() { a.iped.ended <- cmd.Wait() }()
	for end := time.Now().Add(startTime); ; time.Sleep(20 * time.Millisecond) {
		st, err := a.client.Status(ctx)
		if err == nil {
			return st, nil
		}
		select {
		case err := <-a.iped.ended:
			return st, fmt.Errorf("start iped: it ended: %w", err)
		default:
		}
		if time.Now().After(end) {
			return st, fmt.Errorf("start iped: %w", err)
		}
	}
}

// kill sends SIGKILL and waits for the end.
func (d *daemon) kill() error {
	if err := d.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("kill iped: %w", err)
	}
	var exit *exec.ExitError
	if err := <-d.ended; !errors.As(err, &exit) {
		return fmt.Errorf("kill iped: it ended by itself: %w", err)
	}
	return nil
}

// ipe runs the ipe command. Refused is the reason that it gives, without the
// symbol of the errno, which is apart; both are empty after a success.
func ipe(ctx context.Context, args ...string) (out, refused, errno string, err error) {
	cmd := exec.CommandContext(ctx, "ipe", args...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	var exit *exec.ExitError
	if err == nil || !errors.As(err, &exit) {
		return stdout.String(), "", "", err
	}
	m := refusal.FindStringSubmatch(stderr.String())
	if m == nil {
		return "", "", "", fmt.Errorf("run ipe %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String(), m[1], m[2], nil
}

// refusal is how ipe prints what iped answers.
var refusal = regexp.MustCompile(`(?m)^ipe: error: (.*) \[(E[A-Z]+)\]$`)

// show runs the ipe command and shows the command with what it printed.
func (a *agent) show(ctx context.Context, args ...string) error {
	out, refused, _, err := ipe(ctx, args...)
	if err != nil {
		return err
	}
	return a.out.Encode(row.Line{Output: &row.Output{Command: "ipe " + strings.Join(args, " "), Text: out + refused}})
}
