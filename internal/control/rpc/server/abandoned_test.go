package server

import (
	"context"
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"testing"
)

// TestAbandonedChange: a change is not made for somebody who has closed the connection.
func TestAbandonedChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	asked := make(chan *http.Request)
	srv := &http.Server{ConnContext: withPeer, ReadHeaderTimeout: headerTimeout, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- r
		<-asked
	})}
	go srv.Serve(l) // it ends with the test
	defer srv.Close()
	for name, tt := range map[string]struct {
		end  func(*net.UnixConn) error
		want bool
	}{
		"waits":            {func(*net.UnixConn) error { return nil }, false},
		"says no more":     {(*net.UnixConn).CloseWrite, false},
		"closes":           {func(c *net.UnixConn) error { return c.Close() }, true},
		"closes both ways": {func(c *net.UnixConn) error { return errors.Join(c.CloseRead(), c.CloseWrite()) }, true},
	} {
		c, err := (&net.Dialer{}).DialContext(context.Background(), "unix", path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: iped\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		r := <-asked
		if err := tt.end(c.(*net.UnixConn)); err != nil {
			t.Fatal(err)
		}
		if got := left(r); got != tt.want {
			t.Errorf("a peer that %s has left: %v, want %v", name, got, tt.want)
		}
		asked <- nil
		c.Close()
	}
}
