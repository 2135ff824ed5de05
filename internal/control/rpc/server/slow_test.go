package server

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/rpc/client"
	"github.com/ipe-linux/ipe/internal/lab/await"
)

// slow is a daemon that takes its time to say what mode it is in.
type slow struct {
	Control
	takes time.Duration
}

func (s slow) Mode() api.Mode { time.Sleep(s.takes); return api.Mode{} }

// patient is how long a peer may take to send a request, where one is sent at once: a
// machine that does many other things takes a while for that, too.
const patient = time.Second

// TestSlowAnswer: what limits the peer does not limit the daemon. A request that takes
// longer than its peer may take to send it is answered, and so are those after it on the
// same connection.
func TestSlowAnswer(t *testing.T) {
	limits := standard
	limits.read = patient
	socket := serveSlow(t, limits, slow{takes: limits.read + 200*time.Millisecond})
	c := client.New(socket)
	defer c.Close()
	for range 3 {
		if _, err := c.Mode(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSlowStart: nor does the start of the daemon count.
func TestSlowStart(t *testing.T) {
	limits := standard
	limits.read = patient
	ready := make(chan struct{})
	time.AfterFunc(limits.read+200*time.Millisecond, func() { close(ready) })
	socket := serveWhen(t, limits, slow{}, ready)
	if _, err := client.New(socket).Mode(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestSlowPeer: who does not send what the header promises, keeps no place.
func TestSlowPeer(t *testing.T) {
	limits := standard
	limits.read = 50 * time.Millisecond
	socket := serveSlow(t, limits, slow{})
	for _, request := range []string{"PUT " + api.Version + "/mode", "POST /nowhere", "GET " + api.Version + "/mode"} {
		c, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte(request + " HTTP/1.1\r\nHost: iped\r\nContent-Length: 9\r\n\r\n{")); err != nil {
			t.Fatal(err)
		}
		if err := c.SetReadDeadline(time.Now().Add(await.Limit)); err != nil {
			t.Fatal(err)
		}
		for buf := make([]byte, 1024); err == nil; {
			_, err = c.Read(buf)
		}
		if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
			t.Errorf("%s: still connected", request)
		}
	}
}

// TestSlowEnd: a request that does not end holds the end up for so long, and no longer.
func TestSlowEnd(t *testing.T) {
	l, err := Listen(filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	limits := standard
	limits.grace = 10 * time.Millisecond
	asked, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- limits.serve(ctx, l, nil, endless{asked: asked, release: release}, slog.New(slog.DiscardHandler))
	}()
	go client.New(l.path).Mode(t.Context()) // it is cut off
	<-asked
	cancel()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "requests have not ended within 10ms") {
		t.Error(err)
	}
}

// endless never says what mode it is in.
type endless struct {
	Control
	asked, release chan struct{}
}

func (e endless) Mode() api.Mode { close(e.asked); <-e.release; return api.Mode{} }

func serveSlow(t *testing.T, l limits, c Control) (socket string) {
	t.Helper()
	ready := make(chan struct{})
	close(ready)
	return serveWhen(t, l, c, ready)
}

func serveWhen(t *testing.T, lim limits, c Control, ready <-chan struct{}) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	l, err := Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- lim.serve(ctx, l, ready, c, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return socket
}
