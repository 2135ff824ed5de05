package client

import (
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/internal/lab/await"
)

// TestWhatIsNoAnswer: what package http and json say of the other side comes behind what
// that means.
func TestWhatIsNoAnswer(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Length: "
	for says, tt := range map[string]struct {
		want        error
		unreachable bool
	}{
		"":                              {errClosed, true},
		"220 mail.example ESMTP\r\n":    {errForeign, true},
		"HTTP/1.1 two\r\n\r\n":          {errForeign, true},
		"HTTP/1.1 200 OK\r\n: \r\n\r\n": {errForeign, true},
		head + "100\r\n\r\n{":           {errClosed, true},
		head + "5\r\n\r\n<htm>":         {errForeign, false},
		head + "2\r\n\r\n[]":            {errForeign, false},
	} {
		c := saying(t, says)
		_, err := c.Status(t.Context())
		if !errors.Is(err, tt.want) || errors.Is(err, ErrUnreachable) != tt.unreachable || !strings.HasPrefix(err.Error(), c.path+": ") {
			t.Errorf("%q: %v, want %v", says, err, tt.want)
			continue
		}
		before, _, _ := strings.Cut(err.Error(), tt.want.Error())
		for _, word := range []string{"http", "json", "EOF", "malformed", "invalid"} {
			if strings.Contains(strings.TrimPrefix(before, c.path), word) {
				t.Errorf("%q: %v begins with others' words", says, err)
			}
		}
	}
}

// saying is a client of what says one thing to everybody who asks, and goes.
func saying(t *testing.T, text string) *Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, http.DefaultMaxHeaderBytes)) // one read has all that a client says
			_, _ = c.Write([]byte(text))
			c.Close()
		}
	}()
	c := New(path)
	c.patience.hung = await.Limit
	return c
}
