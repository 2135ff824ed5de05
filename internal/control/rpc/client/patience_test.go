package client

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/rpc/server"
)

// silent is a socket with nobody behind it who reads, as that of a stopped daemon.
func silent(t *testing.T) *Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return New(path)
}

// versioned puts the protocol's version into a pattern.
func versioned(pattern string) string { return strings.Replace(pattern, "/", api.Version+"/", 1) }

// answeringWith is a daemon with some answers.
func answeringWith(t *testing.T, mux *http.ServeMux) *Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: dialTimeout}
	go srv.Serve(l) // it ends with the test
	t.Cleanup(func() { srv.Close() })
	return New(path)
}

// short is a patience that ends at once.
func short() patience {
	return patience{say: time.Millisecond, again: time.Hour, ask: time.Millisecond, hung: 50 * time.Millisecond, busy: time.Hour}
}

// TestHungDaemon: one that gives no sign of life is told of, then given up; a change may
// have been made.
func TestHungDaemon(t *testing.T) {
	change := true
	for what, do := range map[string]func(*Client) error{
		"status":   func(c *Client) error { _, err := c.Status(t.Context()); return err },
		"events":   func(c *Client) error { return c.Events(t.Context(), false, nil) },
		"follow":   func(c *Client) error { return c.Events(t.Context(), true, nil) },
		"forecast": func(c *Client) error { _, err := c.PreflightOf(t.Context(), nil); return err },
		"mode":     func(c *Client) error { _, err := c.SetMode(t.Context(), api.ModeChange{Enforce: &change}); return err },
		"reload":   func(c *Client) error { _, err := c.Reload(t.Context()); return err },
		"load":     func(c *Client) error { _, err := c.Load(t.Context(), nil); return err },
		"activate": func(c *Client) error { _, err := c.Activate(t.Context(), "x"); return err },
		"delete":   func(c *Client) error { return c.Delete(t.Context(), "x") },
	} {
		c := silent(t)
		c.patience = short()
		told := make(chan Wait, 10)
		c.OnWait = func(w Wait) { told <- w }
		err := do(c)
		if !errors.Is(err, ErrUnreachable) || !errors.Is(err, ErrHung) {
			t.Errorf("%s: %v, want ErrHung", what, err)
		}
		reads := strings.Contains("status events follow forecast", what)
		if errors.Is(err, ErrUnknownOutcome) == reads {
			t.Errorf("%s: %v; is the outcome unknown: want %v", what, err, !reads)
		}
		if w := <-told; w.Alive || w.Most != c.patience.hung {
			t.Errorf("%s: told of %+v", what, w)
		}
		c.Close()
	}
}

// TestNobodyAsked: without a daemon, no change has been made.
func TestNobodyAsked(t *testing.T) {
	c := New(filepath.Join(t.TempDir(), "s"))
	if err := c.Delete(t.Context(), "x"); !errors.Is(err, ErrUnreachable) || errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("delete: %v, want ErrUnreachable alone", err)
	}
}

// TestBusyDaemon: one that lives is waited for, much longer than it may be silent, and
// told of as such; also one that does not know the question.
func TestBusyDaemon(t *testing.T) {
	for _, status := range []int{http.StatusOK, http.StatusUnprocessableEntity} {
		told := make(chan Wait, 100)
		mux := http.NewServeMux()
		mux.HandleFunc(versioned("GET /alive"), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		mux.HandleFunc(versioned("POST /policies/x/activate"), func(w http.ResponseWriter, _ *http.Request) {
			for range 10 {
				<-told
			}
			w.Write([]byte("{}")) // the client misses it
		})
		c := answeringWith(t, mux)
		c.patience = short()
		c.patience.again, c.patience.hung = 0, time.Minute
		c.OnWait = func(w Wait) {
			if w.Alive { // to the first question, there is little time to answer
				told <- w
			}
		}
		if _, err := c.Activate(t.Context(), "x"); err != nil {
			t.Errorf("%d: %v", status, err)
		}
		c.patience.busy = 0
		if _, err := c.Activate(t.Context(), "x"); !errors.Is(err, errBusy) || !errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("%d: %v, want the end of patience", status, err)
		}
		c.Close()
	}
}

// TestQuietStream: who follows decisions is not disturbed by a daemon that says nothing;
// who wants those that there are is.
func TestQuietStream(t *testing.T) {
	line, err := json.Marshal(api.Record{})
	if err != nil {
		t.Fatal(err)
	}
	line = append(line, '\n')
	for _, follow := range []bool{true, false} {
		goOn := make(chan struct{})
		mux := http.NewServeMux()
		mux.HandleFunc(versioned("GET /events"), func(w http.ResponseWriter, r *http.Request) {
			out := http.NewResponseController(w)
			w.Write(line) // the client misses it
			if err := out.Flush(); err != nil {
				t.Error(err)
			}
			select {
			case <-goOn:
				w.Write(line) // as above
			case <-r.Context().Done():
			}
		})
		mux.HandleFunc(versioned("GET /alive"), func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		c := answeringWith(t, mux)
		n := 0
		err := c.Events(t.Context(), follow, func(api.Record) error {
			if n++; n == 1 {
				c.patience = short()
				if follow {
					time.AfterFunc(10*c.patience.hung, func() { close(goOn) })
				}
			}
			return nil
		})
		if follow && (err != nil || n != 2) || !follow && !errors.Is(err, ErrHung) {
			t.Errorf("follow %v: %d records, %v", follow, n, err)
		}
		c.Close()
	}
}

// nothing is a daemon that has no policies.
type nothing struct{ server.Control }

func (nothing) List() []api.Info { return nil }

// TestStartingDaemon: one that is not ready says that it lives, and answers the rest when
// it is.
func TestStartingDaemon(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := server.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- server.Serve(ctx, l, ready, nothing{}, slog.New(slog.DiscardHandler)) }()
	c := New(path)
	defer c.Close()
	c.patience = short()
	c.patience.hung = time.Minute
	var once sync.Once
	c.OnWait = func(w Wait) {
		if w.Alive {
			once.Do(func() { close(ready) })
		}
	}
	if _, err := c.List(t.Context()); err != nil {
		t.Error(err)
	}
	select {
	case <-ready:
	default:
		t.Error("answered before it was ready")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
