package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/rpc/client"
	"github.com/ipe-linux/ipe/internal/control/rpc/server"
	"github.com/ipe-linux/ipe/internal/errno"
)

// broken panics when it is asked for its state, and in the midst of decisions.
type broken struct{ server.Control }

func (broken) Status() api.Status { panic("no state") }

func (broken) Events(context.Context, bool, func(api.Record) error) error { panic("no events") }

// TestPanicIsLogged: a panic of a handler is in the log with its stack, the peer
// gets EIO if its answer has not begun, and the next request is answered.
func TestPanicIsLogged(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := server.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var log bytes.Buffer
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, l, nil, broken{}, slog.New(slog.NewJSONHandler(&log, nil))) }()
	client := client.New(socket)
	defer client.Close()
	for range 2 {
		if _, err := client.Status(ctx); errno.Symbol(err) != "EIO" {
			t.Errorf("status: %v, want EIO", err)
		}
	}
	want := 2
	if isRoot() {
		if err := client.Events(ctx, false, func(api.Record) error { return nil }); err == nil {
			t.Error("events broke off without an error")
		}
		want++
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != want {
		t.Errorf("%d lines in the log, want %d:\n%s", len(lines), want, &log)
	}
	for _, line := range lines {
		var rec struct{ Level, Msg, Path, Panic, Stack string }
		if err := json.Unmarshal([]byte(line), &rec); err != nil {
			t.Fatal(err)
		}
		if rec.Level != "ERROR" || !strings.HasPrefix(rec.Panic, "no ") || !strings.Contains(rec.Stack, "survive_test.go") {
			t.Errorf("logged %+v", rec)
		}
	}
}

// TestNamesThatArePaths: names that a path could swallow name no policy.
func TestNamesThatArePaths(t *testing.T) {
	f := serve(t)
	for _, name := range []string{"", ".", "..", "...", "/", "a/b"} {
		_, activate := f.client.Activate(t.Context(), name)
		_, update := f.client.Update(t.Context(), name, nil)
		for _, err := range []error{activate, update, f.client.Delete(t.Context(), name)} {
			want := "ENOENT"
			if !isRoot() && strings.Trim(name, "/") != "" {
				want = "EPERM"
			}
			var refused *api.Error
			if !errors.As(err, &refused) || refused.Errno != want || want == "ENOENT" && refused.Hint() == "" {
				t.Errorf("%q: %v, want %s with a hint", name, err, want)
			}
		}
	}
}
