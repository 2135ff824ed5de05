package controlrpc

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

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/control"
)

// maxAnswer bounds what a client reads of an answer, the event stream excepted.
const maxAnswer = 8 << 20

// Client talks to a daemon. Every method's error is an [Error] if the daemon
// refused, and wraps ErrUnreachable if it does not answer.
type Client struct {
	http http.Client
	path string
}

// NewClient returns a client of the daemon at a socket. It connects with the
// first request.
func NewClient(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		d := net.Dialer{Timeout: headerTimeout}
		return d.DialContext(ctx, "unix", path)
	}
	return &Client{path: path, http: http.Client{Transport: &http.Transport{DialContext: dial, IdleConnTimeout: time.Minute}}}
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status returns what the daemon says about enforcement.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.call(ctx, "GET", "/status", nil, &s)
}

// List returns all policies.
func (c *Client) List(ctx context.Context) (l []Info, err error) {
	return l, c.call(ctx, "GET", "/policies", nil, &l)
}

// Load adds a signed policy, inactive.
func (c *Client) Load(ctx context.Context, envelope []byte) (i Info, err error) {
	return i, c.call(ctx, "POST", "/policies", envelope, &i)
}

// Update replaces the named policy by a newer one.
func (c *Client) Update(ctx context.Context, name string, envelope []byte) (i Info, err error) {
	if err := checkName(name); err != nil {
		return i, err
	}
	return i, c.call(ctx, "PUT", policyPath(name, ""), envelope, &i)
}

// Activate makes the named policy the active one.
func (c *Client) Activate(ctx context.Context, name string) (i Info, err error) {
	if err := checkName(name); err != nil {
		return i, err
	}
	return i, c.call(ctx, "POST", policyPath(name, "/activate"), nil, &i)
}

// Delete forgets the named policy.
func (c *Client) Delete(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	return c.call(ctx, "DELETE", policyPath(name, ""), nil, &struct{}{})
}

// Mode returns the mode that was asked for.
func (c *Client) Mode(ctx context.Context) (m Mode, err error) {
	return m, c.call(ctx, "GET", "/mode", nil, &m)
}

// SetMode changes the mode and returns the new one.
func (c *Client) SetMode(ctx context.Context, change ModeChange) (m Mode, err error) {
	raw, err := json.Marshal(change)
	if err != nil {
		return m, fmt.Errorf("encode mode: %w", err)
	}
	return m, c.call(ctx, "PUT", "/mode", raw, &m)
}

// Events calls fn with each kept decision and, if follow is set, with new ones
// until ctx ends, fn returns an error or the daemon stops.
func (c *Client) Events(ctx context.Context, follow bool, fn func(Record) error) error {
	return stream(ctx, c, "/events?records=0", follow, fn)
}

// Records is Events for the records that a kernel with IPE writes, of all types.
func (c *Client) Records(ctx context.Context, follow bool, fn func(audit.JSON) error) error {
	return stream(ctx, c, "/events?records=1", follow, fn)
}

func stream[T any](ctx context.Context, c *Client, path string, follow bool, fn func(T) error) error {
	if follow {
		path += "&follow=1"
	}
	resp, err := c.do(ctx, "GET", path, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for dec := json.NewDecoder(resp.Body); ; {
		var rec T
		switch err := dec.Decode(&rec); {
		case errors.Is(err, io.EOF), ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("read decisions: %w", err)
		}
		if err := fn(rec); err != nil {
			return err
		}
	}
}

// policyPath escapes a name as one element of a path. Dots alone would be taken
// for a way through the tree.
func policyPath(name, tail string) string {
	element := url.PathEscape(name)
	if strings.Trim(name, ".") == "" {
		element = strings.Repeat("%2E", len(name))
	}
	return "/policies/" + element + tail
}

// checkName refuses names that no path has room for, as the daemon would: to
// package http a lone slash, however escaped, is the end of a path.
func checkName(name string) error {
	if name != "" && name != "/" {
		return nil
	}
	return &Error{Errno: Symbol(control.ErrNotFound), Message: fmt.Sprintf("policy %q: %v", name, control.ErrNotFound), Fix: hint(control.ErrNotFound)}
}

// call makes one request and decodes the answer into out.
func (c *Client) call(ctx context.Context, method, path string, body []byte, out any) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	resp, err := c.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out); err != nil {
		return fmt.Errorf("read iped's answer: %w", err)
	}
	return nil
}

// do makes one request; a refusal becomes an error.
func (c *Client) do(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://iped"+prefix+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("ask iped: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", c.path, ErrUnreachable, cause(err))
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	var e Error
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&e); err != nil || e.Errno == "" {
		return nil, fmt.Errorf("ask iped: unexpected answer %s", resp.Status)
	}
	return nil, &e
}

// cause is the innermost reason of a failed connection.
func cause(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}
