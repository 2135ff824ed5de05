// Package client asks iped over its socket, in the words of package api. It waits as long as
// the daemon lives, and knows nothing of what the daemon is.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/plain"
)

// maxAnswer bounds what a client reads of an answer, the event stream excepted.
const maxAnswer = 8 << 20

// ErrUnreachable says that no daemon answers on the socket.
var ErrUnreachable = errors.New("iped does not answer")

// dialTimeout is for a connection to be taken.
const dialTimeout = 5 * time.Second

// Client talks to a daemon. Every method's error is an [api.Error] if the daemon
// refused, and wraps ErrUnreachable if it does not answer; those of changes wrap
// ErrUnknownOutcome as well if the daemon may have been asked.
type Client struct {
	// OnWait, if set before the first request, is told of waits that take long.
	OnWait func(Wait)

	http     http.Client
	path     string
	patience patience
	// query is that of changes.
	query string
}

// New returns a client of the daemon at a socket. It connects with the
// first request.
func New(path string) *Client {
	c := &Client{path: path, patience: usualPatience()}
	c.http.Transport = &http.Transport{DialContext: c.dial, IdleConnTimeout: time.Minute}
	return c
}

func (c *Client) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout}
	return d.DialContext(ctx, "unix", c.path)
}

// Forced returns a client, of the same connections, whose changes are made also if
// preflight would refuse them.
func (c *Client) Forced() *Client {
	f := *c
	f.query = on(api.QueryForce)
	return &f
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status returns what the daemon says about enforcement.
func (c *Client) Status(ctx context.Context) (s api.Status, err error) {
	return s, c.call(ctx, "GET", api.PathStatus, nil, &s)
}

// List returns all policies.
func (c *Client) List(ctx context.Context) (l []api.Info, err error) {
	return l, c.call(ctx, "GET", api.PathPolicies, nil, &l)
}

// Load adds a signed policy, inactive.
func (c *Client) Load(ctx context.Context, envelope []byte) (i api.Info, err error) {
	return i, c.call(ctx, "POST", api.PathPolicies, envelope, &i)
}

// Update replaces the named policy by a newer one.
func (c *Client) Update(ctx context.Context, name string, envelope []byte) (i api.Info, err error) {
	if err := checkName(name); err != nil {
		return i, err
	}
	return i, c.call(ctx, "PUT", policyPath(name, "")+c.query, envelope, &i)
}

// Activate makes the named policy the active one.
func (c *Client) Activate(ctx context.Context, name string) (i api.Info, err error) {
	if err := checkName(name); err != nil {
		return i, err
	}
	return i, c.call(ctx, "POST", policyPath(name, api.TailActivate)+c.query, nil, &i)
}

// Delete forgets the named policy.
func (c *Client) Delete(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	return c.call(ctx, "DELETE", policyPath(name, ""), nil, &struct{}{})
}

// Preflight tells what the named policy would newly deny.
func (c *Client) Preflight(ctx context.Context, name string) (f api.Forecast, err error) {
	if err := checkName(name); err != nil {
		return f, err
	}
	return f, c.call(ctx, "GET", policyPath(name, api.TailPreflight), nil, &f)
}

// PreflightOf tells it of a signed policy that need not be loaded.
func (c *Client) PreflightOf(ctx context.Context, envelope []byte) (f api.Forecast, err error) {
	return f, c.call(ctx, "POST", api.PathPreflight, envelope, &f)
}

// Mode returns the mode that was asked for.
func (c *Client) Mode(ctx context.Context) (m api.Mode, err error) {
	return m, c.call(ctx, "GET", api.PathMode, nil, &m)
}

// SetMode changes the mode and returns the new one, which may be kept or not.
func (c *Client) SetMode(ctx context.Context, change api.ModeChange) (m api.ModeResult, err error) {
	raw, err := json.Marshal(change)
	if err != nil {
		return m, fmt.Errorf("encode mode: %w", err)
	}
	return m, c.call(ctx, "PUT", api.PathMode+c.query, raw, &m)
}

// Profile returns the loaded profile, with its text.
func (c *Client) Profile(ctx context.Context) (p api.Profile, err error) {
	return p, c.call(ctx, "GET", api.PathProfile, nil, &p)
}

// LoadProfile puts a signed profile in the place of the loaded one.
func (c *Client) LoadProfile(ctx context.Context, envelope []byte) (p api.Profile, err error) {
	return p, c.call(ctx, "PUT", api.PathProfile, envelope, &p)
}

// Reload has the daemon read anew what can change while it runs, and returns when it has.
func (c *Client) Reload(ctx context.Context) (r api.Reloaded, err error) {
	return r, c.call(ctx, "POST", api.PathReload, nil, &r)
}

// Events calls fn with each kept decision and, if follow is set, with new ones
// until ctx ends, fn returns an error or the daemon stops.
func (c *Client) Events(ctx context.Context, follow bool, fn func(api.Record) error) error {
	return stream(ctx, c, api.PathEvents+"?"+api.QueryRecords+"=0", follow, fn)
}

// Records is Events for the records that a kernel with IPE writes, of all types.
func (c *Client) Records(ctx context.Context, follow bool, fn func(api.AuditRecord) error) error {
	return stream(ctx, c, api.PathEvents+on(api.QueryRecords), follow, fn)
}

func stream[T any](ctx context.Context, c *Client, path string, follow bool, fn func(T) error) error {
	if follow {
		path += "&" + api.QueryFollow + "=1"
	}
	request, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := c.attend(request, cancel)
	resp, err := c.do(request, "GET", path, nil)
	stop()
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for dec := json.NewDecoder(resp.Body); ; {
		var rec T
		if !follow { // where silence means that nothing happens
			stop = c.attend(request, cancel)
		}
		err := dec.Decode(&rec)
		stop()
		switch {
		case errors.Is(err, io.EOF), ctx.Err() != nil:
			return nil
		case err != nil:
			return c.cutOff(request, false, "read decisions", err)
		}
		if err := fn(rec); err != nil {
			return err
		}
	}
}

// on is a query of one word.
func on(query string) string { return "?" + query + "=1" }

// policyPath escapes a name as one element of a path. Dots alone would be taken
// for a way through the tree.
func policyPath(name, tail string) string {
	element := url.PathEscape(name)
	if strings.Trim(name, ".") == "" {
		element = strings.Repeat("%2E", len(name))
	}
	return api.PathPolicies + "/" + element + tail
}

// checkName refuses names that no path has room for, as the daemon would: to
// package http a lone slash, however escaped, is the end of a path.
func checkName(name string) error {
	if name != "" && name != "/" {
		return nil
	}
	return api.NewError(fmt.Errorf("policy %s: %w", plain.Name(name), api.ErrNotFound))
}

// call makes one request and decodes the answer into out.
func (c *Client) call(ctx context.Context, method, path string, body []byte, out any) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer c.attend(ctx, cancel)()
	resp, err := c.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out); err != nil {
		return c.cutOff(ctx, changes(method, path), "read iped's answer", err)
	}
	return nil
}

// do makes one request; a refusal becomes an error.
func (c *Client) do(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://iped"+api.Version+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("ask iped: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, changes(method, path), err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	var e api.Error
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&e); err != nil || e.Errno == "" {
		return nil, fmt.Errorf("ask iped: unexpected answer %s", resp.Status)
	}
	return nil, &e
}

// changes reports whether a request changes anything. A preflight takes a policy and only
// tells of it.
func changes(method, path string) bool { return method != http.MethodGet && path != api.PathPreflight }

// unreachable says why a request has no answer, and if that may have changed something.
func (c *Client) unreachable(ctx context.Context, change bool, err error) error {
	why := reasonOf(err)
	if reason := context.Cause(ctx); reason != nil {
		why = reason
	}
	var op *net.OpError
	asked := !errors.As(err, &op) || op.Op != "dial"
	if asked && change {
		return fmt.Errorf("%s: %w: %w: %w", c.path, ErrUnreachable, why, ErrUnknownOutcome)
	}
	return fmt.Errorf("%s: %w: %w", c.path, ErrUnreachable, why)
}

// cutOff is an answer that has begun and does not end, or makes no sense.
func (c *Client) cutOff(ctx context.Context, change bool, what string, err error) error {
	var op *net.OpError
	if context.Cause(ctx) == nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.As(err, &op) {
		return fmt.Errorf("%s: %s: %w: %w", c.path, what, errForeign, err)
	}
	return c.unreachable(ctx, change, err)
}

// Reasons in the words of this package.
var (
	errClosed = errors.New("it has closed the connection")
	// errForeign: what listens is another program, or an iped of another time.
	errForeign = errors.New("that is no answer of iped's; does another program listen there, or another version of iped?")
)

// reasonOf says why there is no answer: the number of a call, as it is, or what package http
// says about the other side, behind what that means.
func reasonOf(err error) error {
	why := innermost(err)
	switch {
	case errors.Is(why, io.EOF), errors.Is(why, io.ErrUnexpectedEOF), errors.Is(why, net.ErrClosed):
		return fmt.Errorf("%w: %w", errClosed, why)
	case strings.HasPrefix(why.Error(), "malformed "):
		return fmt.Errorf("%w: %w", errForeign, why)
	}
	return why
}

// innermost is the last reason of a failed connection.
func innermost(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}
