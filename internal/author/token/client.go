package token

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/ipe-linux/ipe/internal/author/pkcs11uri"
)

// Program is the name of what loads modules.
const Program = "ipe-pkcs11"

// ErrNoProgram: it is not installed.
var ErrNoProgram = errors.New(Program + " is not installed")

// Find returns the path of the program: beside the given executable, or in
// ../libexec/ipe from there. It gets the PIN, so it is looked for nowhere that an
// environment variable says.
func Find(executable string) (string, error) {
	dir := filepath.Dir(executable)
	places := []string{filepath.Join(dir, Program), filepath.Join(dir, "..", "libexec", "ipe", Program)}
	for _, path := range places {
		if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w: it is not %s", ErrNoProgram, strings.Join(places, " nor "))
}

const (
	// patience is how long an answer may take: somebody may have to touch the token.
	patience = 2 * time.Minute
	// leave is how long the program may take to end.
	leave = 5 * time.Second
	// maxSaid is how much of what the program complains of is kept, in bytes.
	maxSaid = 4 << 10
)

// Client is the program while it runs. It answers one question at a time.
type Client struct {
	cmd      *exec.Cmd
	in       io.WriteCloser
	replies  chan reply
	said     *head
	patience time.Duration

	mu     sync.Mutex
	pin    string
	broken error // why there will be no more answers
}

type reply struct {
	Reply
	err error
}

// Start runs the program, with the environment given but for secrets of ipe's.
func Start(ctx context.Context, program string, environ []string) (*Client, error) {
	c := &Client{cmd: exec.CommandContext(ctx, program), said: &head{}, replies: make(chan reply, 2), patience: patience}
	c.cmd.Env = append(withoutSecrets(environ), "GOTRACEBACK=none")
	c.cmd.Stderr = c.said
	c.cmd.WaitDelay = leave
	in, err := c.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	c.in = in
	go c.listen(NewLines(out))
	return c, nil
}

func (c *Client) listen(lines *Lines) {
	defer close(c.replies)
	for {
		var r reply
		r.err = lines.Next(&r.Reply)
		c.replies <- r
		if r.err != nil {
			return
		}
	}
}

// secrets are variables that are none of a module's business.
var secrets = []string{"IPE_PIN=", "IPE_KEY_PASSPHRASE="}

func withoutSecrets(environ []string) []string {
	var kept []string
	for _, e := range environ {
		if !strings.HasPrefix(e, secrets[0]) && !strings.HasPrefix(e, secrets[1]) {
			kept = append(kept, e)
		}
	}
	return kept
}

// Open loads a module and looks for the token of a URI.
func (c *Client) Open(module string, u *pkcs11uri.URI) (*Token, error) {
	r, err := c.ask(Request{Op: OpOpen, Module: module, URI: u.String()})
	if err != nil {
		return nil, fmt.Errorf("open token: %w", err)
	}
	if r.Token == nil {
		return nil, fmt.Errorf("open token: %w", errLine)
	}
	return r.Token, nil
}

// Login opens a session, with the PIN if the token wants one. It is tried once.
func (c *Client) Login(pin string) error {
	c.mu.Lock()
	c.pin = pin
	c.mu.Unlock()
	if _, err := c.ask(Request{Op: OpLogin, PIN: pin}); err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	return nil
}

// Close ends the program; one that does not end is killed.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken != nil {
		return nil
	}
	c.broken = Errorf(Died, "%s was closed", Program)
	c.in.Close()
	kill := time.AfterFunc(leave, func() { _ = c.cmd.Process.Kill() })
	defer kill.Stop()
	if err := c.cmd.Wait(); err != nil {
		return Errorf(Died, "%s: %v%s", Program, err, c.complaint())
	}
	return nil
}

// ask sends a request and waits for its answer.
func (c *Client) ask(q Request) (*Reply, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken != nil {
		return nil, c.broken
	}
	// An error means that nobody reads: what became of it is told below.
	_ = WriteLine(c.in, q)
	timeout := time.NewTimer(c.patience)
	defer timeout.Stop()
	select {
	case r := <-c.replies:
		if r.err != nil {
			return nil, c.gone(Died, r.err)
		}
		if r.Error != nil {
			return nil, &Error{r.Error.Kind, c.clean(r.Error.Text)}
		}
		return &r.Reply, nil
	case <-timeout.C:
		return nil, c.gone(Slow, fmt.Errorf("no answer within %v", c.patience))
	}
}

// gone collects the program and says how it ended.
func (c *Client) gone(kind Kind, why error) error {
	c.in.Close()
	if !errors.Is(why, io.EOF) {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
		c.broken = Errorf(kind, "%s: %v%s", Program, why, c.complaint())
		return c.broken
	}
	kill := time.AfterFunc(leave, func() { _ = c.cmd.Process.Kill() })
	defer kill.Stop()
	how := "ended without an answer"
	if err := c.cmd.Wait(); err != nil {
		how = err.Error()
	}
	c.broken = Errorf(kind, "%s: %s%s", Program, how, c.complaint())
	return c.broken
}

// complaint is what the program wrote to standard error: the signal that ended it,
// or else its last line.
func (c *Client) complaint() string {
	said := ""
	for line := range strings.Lines(c.said.String()) {
		if line = strings.TrimSpace(line); line != "" {
			said = line
		}
		if strings.HasPrefix(line, "SIG") {
			break
		}
	}
	if said == "" {
		return ""
	}
	return " (" + c.clean(said) + ")"
}

// clean takes the PIN out of what a module said, and what could command a terminal.
func (c *Client) clean(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, text)
	if c.pin == "" {
		return text
	}
	return strings.ReplaceAll(text, c.pin, "[PIN]")
}

// head keeps the beginning of what is written to it.
type head struct {
	mu   sync.Mutex
	text []byte
}

func (h *head) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.text = append(h.text, b[:min(len(b), maxSaid-len(h.text))]...)
	return len(b), nil
}

func (h *head) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return string(h.text)
}
