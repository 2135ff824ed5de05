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

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/engine"
)

// Control is what the server serves; *control.Control is one.
type Control interface {
	By(who audit.Subject) control.Actor
	List() []control.Info
	Get(name string) (info control.Info, envelope, text []byte, err error)
	Mode() engine.Mode
	Status() control.Status
	Events(ctx context.Context, follow bool, fn func(control.Record) error) error
	Records(ctx context.Context, follow bool, fn func(audit.JSON) error) error
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

// access is who may make a request.
type access int

const (
	anybody access = iota
	privileged
	// loading is privileged, and every refusal is recorded.
	loading
)

func handler(c Control) http.Handler {
	s := &server{c: c}
	mux := http.NewServeMux()
	for _, r := range []struct {
		pattern string
		guarded access
		do      func(*http.Request) (any, error)
	}{
		{"GET /status", anybody, s.status},
		{"GET /policies", anybody, s.list},
		{"POST /policies", loading, s.load},
		{"GET /policies/{name}", anybody, s.info},
		{"PUT /policies/{name}", loading, s.update},
		{"DELETE /policies/{name}", privileged, s.delete},
		{"POST /policies/{name}/activate", privileged, s.activate},
		{"GET /policies/{name}/pkcs7", anybody, s.pkcs7},
		{"GET /policies/{name}/policy", anybody, s.text},
		{"GET /mode", anybody, s.mode},
		{"PUT /mode", privileged, s.setMode},
	} {
		mux.HandleFunc(versioned(r.pattern), s.respond(r.guarded, r.do))
	}
	mux.HandleFunc(versioned("GET /events"), s.events)
	mux.HandleFunc("/", unknown)
	return mux
}

// respond answers with JSON, or with the bytes themselves.
func (s *server) respond(guarded access, do func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if guarded != anybody {
			if err := mayChange(r.Context()); err != nil {
				if guarded == loading {
					s.by(r).RefuseLoad(err)
				}
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

// by is control on behalf of the peer.
func (s *server) by(r *http.Request) control.Actor { return s.c.By(subject(r.Context())) }

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
	return s.by(r).Load(envelope)
}

func (s *server) update(r *http.Request) (any, error) {
	envelope, err := body(r)
	if err != nil {
		return nil, err
	}
	return s.by(r).Update(r.PathValue("name"), envelope)
}

func (s *server) activate(r *http.Request) (any, error) {
	name := r.PathValue("name")
	if err := s.by(r).Activate(name); err != nil {
		return nil, err
	}
	info, _, _, err := s.c.Get(name)
	return info, err
}

func (s *server) delete(r *http.Request) (any, error) {
	return struct{}{}, s.by(r).Delete(r.PathValue("name"))
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
	return s.by(r).ChangeMode(change)
}

// events streams decisions, or records of all types, one JSON object a line.
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
	send := func(v any) error {
		if err := out.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return err
		}
		if err := enc.Encode(v); err != nil {
			return err
		}
		return out.Flush()
	}
	follow := r.URL.Query().Get("follow") == "1"
	if r.URL.Query().Get("records") == "1" {
		s.c.Records(r.Context(), follow, func(j audit.JSON) error { return send(j) }) //nolint:errcheck // only the peer's absence ends it
		return
	}
	s.c.Events(r.Context(), follow, func(rec control.Record) error { return send(rec) }) //nolint:errcheck // as above
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
