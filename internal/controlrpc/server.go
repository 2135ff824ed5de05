package controlrpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/engine"
)

// Control is what the server serves; *control.Control is one.
type Control interface {
	Load(envelope []byte) (control.Info, error)
	Update(name string, envelope []byte) (control.Info, error)
	Activate(name string) error
	Delete(name string) error
	List() []control.Info
	Get(name string) (info control.Info, envelope, text []byte, err error)
	Mode() engine.Mode
	ChangeMode(ch control.ModeChange) (engine.Mode, error)
	Status() control.Status
	Events(ctx context.Context, follow bool, fn func(control.Record) error) error
}

// Limits on what a peer may cost.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	// writeTimeout bounds one answer, or one line of the event stream. An answer
	// may have to wait for a self-test.
	writeTimeout = 2 * time.Minute
	idleTimeout  = time.Minute
	maxHeader    = 8 << 10
)

// Serve answers on l until ctx ends, then lets running requests finish for a
// few seconds. It closes l. What is wrong with this program, not with a request, is
// logged to log.
func Serve(ctx context.Context, l *Listener, c Control, log *slog.Logger) error {
	srv := &http.Server{
		Handler:           survive(handler(c), log),
		ConnContext:       withPeer,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelError),
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve %s: %w", l.path, err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil {
		return fmt.Errorf("serve %s: stop: %w", l.path, err)
	}
	return nil
}

// server holds the handlers.
type server struct {
	c Control
}

func handler(c Control) http.Handler {
	s := &server{c: c}
	mux := http.NewServeMux()
	for _, r := range []struct {
		pattern string
		guarded bool
		do      func(*http.Request) (any, error)
	}{
		{"GET /status", false, s.status},
		{"GET /policies", false, s.list},
		{"POST /policies", true, s.load},
		{"GET /policies/{name}", false, s.info},
		{"PUT /policies/{name}", true, s.update},
		{"DELETE /policies/{name}", true, s.delete},
		{"POST /policies/{name}/activate", true, s.activate},
		{"GET /policies/{name}/pkcs7", false, s.pkcs7},
		{"GET /policies/{name}/policy", false, s.text},
		{"GET /mode", false, s.mode},
		{"PUT /mode", true, s.setMode},
	} {
		mux.HandleFunc(versioned(r.pattern), respond(r.guarded, r.do))
	}
	mux.HandleFunc(versioned("GET /events"), s.events)
	mux.HandleFunc("/", unknown)
	return mux
}

// respond answers with JSON, or with the bytes themselves.
func respond(guarded bool, do func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if guarded {
			if err := mayChange(r.Context()); err != nil {
				fail(w, err)
				return
			}
		}
		v, err := do(r)
		if err != nil {
			fail(w, err)
			return
		}
		if raw, ok := v.([]byte); ok {
			w.Header().Set("Content-Type", "application/octet-stream")
			w.Write(raw) //nolint:errcheck // the peer has gone, nobody is left to tell
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(v) //nolint:errcheck // as above
	}
}

func (s *server) status(*http.Request) (any, error) { return s.c.Status(), nil }
func (s *server) list(*http.Request) (any, error)   { return s.c.List(), nil }
func (s *server) mode(*http.Request) (any, error)   { return s.c.Mode(), nil }

func (s *server) info(r *http.Request) (any, error) {
	info, _, _, err := s.c.Get(r.PathValue("name"))
	return info, err
}

// pkcs7 of a boot policy is ENOENT, as the kernel's node is.
func (s *server) pkcs7(r *http.Request) (any, error) {
	_, envelope, _, err := s.c.Get(r.PathValue("name"))
	if err == nil && envelope == nil {
		err = fmt.Errorf("policy %q is unsigned: %w", r.PathValue("name"), control.ErrNotFound)
	}
	return envelope, err
}

func (s *server) text(r *http.Request) (any, error) {
	_, _, text, err := s.c.Get(r.PathValue("name"))
	return text, err
}

func (s *server) load(r *http.Request) (any, error) {
	envelope, err := body(r)
	if err != nil {
		return nil, err
	}
	return s.c.Load(envelope)
}

func (s *server) update(r *http.Request) (any, error) {
	envelope, err := body(r)
	if err != nil {
		return nil, err
	}
	return s.c.Update(r.PathValue("name"), envelope)
}

func (s *server) activate(r *http.Request) (any, error) {
	name := r.PathValue("name")
	if err := s.c.Activate(name); err != nil {
		return nil, err
	}
	info, _, _, err := s.c.Get(name)
	return info, err
}

func (s *server) delete(r *http.Request) (any, error) {
	return struct{}{}, s.c.Delete(r.PathValue("name"))
}

func (s *server) setMode(r *http.Request) (any, error) {
	raw, err := body(r)
	if err != nil {
		return nil, err
	}
	change, err := parseModeChange(raw)
	if err != nil {
		return nil, err
	}
	return s.c.ChangeMode(change)
}

// events streams decisions, one JSON object a line.
func (s *server) events(w http.ResponseWriter, r *http.Request) {
	if err := mayChange(r.Context()); err != nil {
		fail(w, err)
		return
	}
	out := http.NewResponseController(w)
	w.Header().Set("Content-Type", "application/jsonl")
	enc := json.NewEncoder(w)
	if err := errors.Join(out.SetReadDeadline(time.Time{}), out.Flush()); err != nil {
		return
	}
	follow := r.URL.Query().Get("follow") == "1"
	s.c.Events(r.Context(), follow, func(rec control.Record) error { //nolint:errcheck // only the peer's absence ends it
		if err := out.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return err
		}
		if err := enc.Encode(rec); err != nil {
			return err
		}
		return out.Flush()
	})
}

// body reads a request's body up to maxBody; a longer one is cut there, which
// no message survives.
func body(r *http.Request) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return nil, fmt.Errorf("read request: %w", err)
	}
	return b, nil
}
