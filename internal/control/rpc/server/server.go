// Package server answers clients of package api on a Unix socket: it knows who asks, and
// what each may cost, and has the life cycle do the rest.
package server

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
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/sign"
)

// Control is what the server serves: *control.Control, in a daemon that can reload.
type Control interface {
	By(who audit.Subject) control.Actor
	List() []api.Info
	Forecast(name string) (api.Forecast, error)
	ForecastOf(envelope []byte) (api.Forecast, error)
	Get(name string) (info api.Info, envelope, text []byte, err error)
	Mode() api.Mode
	Profile() (api.Profile, error)
	LoadProfile(who audit.Subject, envelope []byte) (api.Profile, error)
	Status() api.Status
	Events(ctx context.Context, follow bool, fn func(api.Record) error) error
	Records(ctx context.Context, follow bool, fn func(api.AuditRecord) error) error
	// Reload is that of the daemon around control: it returns when all has been read anew, or
	// when ctx ends. The error is what could not be, or is wrong now.
	Reload(ctx context.Context) (api.Reloaded, error)
}

// maxHeader bounds the header of a request, in bytes.
const maxHeader = 8 << 10

// limits is what a peer may cost. None of them bounds how long this daemon takes.
type limits struct {
	// header and read are for the two parts of a request.
	header, read time.Duration
	// write is for reading an answer, or one line of the event stream.
	write time.Duration
	// idle is from an answer to the next request.
	idle time.Duration
	// grace is for what goes on at the end.
	grace time.Duration
}

var standard = limits{header: headerTimeout, read: 10 * time.Second, write: 2 * time.Minute, idle: time.Minute, grace: 3 * time.Second}

// headerTimeout is for the header of a request.
const headerTimeout = 5 * time.Second

// Serve answers on l until ctx ends, then lets running requests finish for a
// few seconds. It closes l. What is wrong with this program, not with a request, is
// logged to log.
//
// A daemon that is still starting gives a channel: until ready is closed, the answer is
// that it lives, and everything else waits. Nil is for one that is ready.
func Serve(ctx context.Context, l *Listener, ready <-chan struct{}, c Control, log *slog.Logger) error {
	return standard.serve(ctx, l, ready, c, log)
}

func (lim limits) serve(ctx context.Context, l *Listener, ready <-chan struct{}, c Control, log *slog.Logger) error {
	srv := &http.Server{
		Handler:           survive(noted(lim.bounded(held(ready, handler(c, lim)))), log),
		ConnContext:       withPeer,
		ReadHeaderTimeout: lim.header,
		WriteTimeout:      lim.write,
		IdleTimeout:       lim.idle,
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
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), lim.grace)
	defer cancel()
	err := srv.Shutdown(grace)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("requests have not ended within %v, and are cut off: %w", lim.grace, err)
	}
	if err != nil {
		return fmt.Errorf("serve %s: stop: %w", l.path, err)
	}
	return nil
}

// held lets requests wait for ready, if that is not nil.
func held(ready <-chan struct{}, next http.Handler) http.Handler {
	if ready == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != api.Version+api.PathAlive {
			select {
			case <-ready:
			case <-r.Context().Done():
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// bounded limits how long a peer may take for the body of its request. A limit for the
// whole request, as package http has it, goes on while the answer is made, and when it is
// over, cancels this request and all others on the connection.
func (lim limits) bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		r.Body = &timely{ReadCloser: r.Body, deadline: c.SetReadDeadline, limit: lim.read}
		next.ServeHTTP(w, r)
		// Package http reads what a handler has left, before the next request.
		_ = c.SetReadDeadline(time.Now().Add(lim.read)) // fails if the peer has gone
	})
}

// timely is a body that is read within the limit, or not.
type timely struct {
	io.ReadCloser
	deadline func(time.Time) error
	limit    time.Duration
	begun    bool
}

// Read implements [io.Reader].
func (t *timely) Read(b []byte) (int, error) {
	if !t.begun {
		t.begun = true
		if err := t.deadline(time.Now().Add(t.limit)); err != nil {
			return 0, err
		}
	}
	n, err := t.ReadCloser.Read(b)
	if err != nil {
		_ = t.deadline(time.Time{}) // fails if the peer has gone
	}
	return n, err
}

// server holds the handlers.
type server struct {
	c   Control
	lim limits
}

// access is who may make a request.
type access int

const (
	anybody access = iota
	privileged
	// loading is privileged, and every refusal is recorded.
	loading
)

// named is the path of one policy.
const named = api.PathPolicies + "/{name}"

func handler(c Control, lim limits) http.Handler {
	s := &server{c: c, lim: lim}
	mux := http.NewServeMux()
	for _, r := range []struct {
		pattern string
		guarded access
		do      func(*http.Request) (any, error)
	}{
		{"GET " + api.PathAlive, anybody, alive},
		{"GET " + api.PathStatus, anybody, s.status},
		{"GET " + api.PathPolicies, anybody, s.list},
		{"POST " + api.PathPolicies, loading, s.load},
		{"GET " + named, anybody, s.info},
		{"PUT " + named, loading, s.update},
		{"DELETE " + named, privileged, s.delete},
		{"POST " + named + api.TailActivate, privileged, s.activate},
		{"GET " + named + api.TailPreflight, privileged, s.preflight},
		{"POST " + api.PathPreflight, privileged, s.preflightOf},
		{"GET " + named + api.TailMessage, anybody, s.pkcs7},
		{"GET " + named + api.TailText, anybody, s.text},
		{"GET " + api.PathMode, anybody, s.mode},
		{"PUT " + api.PathMode, privileged, s.setMode},
		{"GET " + api.PathProfile, anybody, s.profile},
		{"PUT " + api.PathProfile, privileged, s.loadProfile},
		{"POST " + api.PathReload, privileged, s.reload},
	} {
		mux.HandleFunc(versioned(r.pattern), s.respond(r.guarded, r.do))
	}
	mux.HandleFunc(versioned("GET "+api.PathEvents), s.events)
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
		if guarded != anybody && left(r) {
			return
		}
		v, err := do(r)
		if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.lim.write)); err != nil {
			return
		}
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

// asks reports whether a query is on.
func asks(r *http.Request, query string) bool { return r.URL.Query().Get(query) == "1" }

// careful is that with preflight, unless the peer does without.
func (s *server) careful(r *http.Request) control.Actor {
	if asks(r, api.QueryForce) {
		return s.by(r)
	}
	return s.by(r).Careful()
}

// alive answers whatever else goes on.
func alive(*http.Request) (any, error) { return struct{}{}, nil }

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
		err = fmt.Errorf("policy %s is unsigned: %w", plain.Name(r.PathValue("name")), api.ErrNotFound)
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
	return s.careful(r).Update(r.PathValue("name"), envelope)
}

func (s *server) activate(r *http.Request) (any, error) {
	name := r.PathValue("name")
	if err := s.careful(r).Activate(name); err != nil {
		return nil, err
	}
	info, _, _, err := s.c.Get(name)
	return info, err
}

func (s *server) preflight(r *http.Request) (any, error) { return s.c.Forecast(r.PathValue("name")) }

func (s *server) preflightOf(r *http.Request) (any, error) {
	envelope, err := body(r)
	if err != nil {
		return nil, err
	}
	return s.c.ForecastOf(envelope)
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
	return s.careful(r).ChangeMode(change)
}

func (s *server) profile(*http.Request) (any, error) { return s.c.Profile() }

func (s *server) loadProfile(r *http.Request) (any, error) {
	envelope, err := body(r)
	if err != nil {
		return nil, err
	}
	return s.c.LoadProfile(subject(r.Context()), envelope)
}

func (s *server) reload(r *http.Request) (any, error) { return s.c.Reload(r.Context()) }

// events streams decisions, or records of all types, one JSON object a line.
func (s *server) events(w http.ResponseWriter, r *http.Request) {
	if err := mayChange(r.Context()); err != nil {
		fail(w, err)
		return
	}
	use(r, streaming)
	out := http.NewResponseController(w)
	w.Header().Set("Content-Type", "application/jsonl")
	enc := json.NewEncoder(w)
	if err := out.Flush(); err != nil {
		return
	}
	send := func(v any) error {
		if err := out.SetWriteDeadline(time.Now().Add(s.lim.write)); err != nil {
			return err
		}
		if err := enc.Encode(v); err != nil {
			return err
		}
		return out.Flush()
	}
	follow := asks(r, api.QueryFollow)
	if asks(r, api.QueryRecords) {
		s.c.Records(r.Context(), follow, func(j api.AuditRecord) error { return send(j) }) //nolint:errcheck // only the peer's absence ends it
		return
	}
	s.c.Events(r.Context(), follow, func(rec api.Record) error { return send(rec) }) //nolint:errcheck // as above
}

// maxBody is one byte more than the longest signed message that a kernel takes,
// so that the refusal of longer ones is sign's, with its errno.
const maxBody = sign.MaxLen + 1

// body reads a request's body up to maxBody; a longer one is cut there, which
// no message survives.
func body(r *http.Request) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		// The peer's fault, not this daemon's: it went away, or sends less than it said.
		return nil, fmt.Errorf("%w: the body ends early: %w", errRequest, err)
	}
	return b, nil
}
