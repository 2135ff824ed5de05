package preflight

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/engine"
)

// Roles of code that nobody could do without, in the order of their weight.
const (
	roleInit  = "init"
	roleIped  = "iped"
	roleIpe   = "ipe"
	roleShell = "shell"
	roleLogin = "login"
)

func roles() []string { return []string{roleInit, roleIped, roleIpe, roleShell, roleLogin} }

// maxProcesses bounds the processes that a finding names.
const maxProcesses = 16

// maxUses bounds the uses that are kept to find out a file's path: a process may end.
const maxUses = 4

// code is a file, or all memory without a file, with what uses it.
type code struct {
	use       engine.Use // the first
	uses      []engine.Use
	path      string // known from opening it; else it is asked for when it is needed
	roles     []string
	processes []api.Process
	users     int
	// gone: what is in its place now would not be denied.
	gone bool
}

// identity tells one piece of code from another. Files of several superblocks may
// share device and inode, as those of btrfs subvolumes do not; the facts then differ,
// or do not matter.
type identity struct {
	hasFile      bool
	major, minor uint32
	inode        uint64
	evidence     string
}

func identityOf(u engine.Use) identity {
	if !u.HasFile {
		return identity{}
	}
	return identity{true, u.Major, u.Minor, u.Inode, fmt.Sprint(u.Evidence)}
}

// collection is what a survey found, sorted by files.
type collection struct {
	self      uint32
	opened    *opened
	codes     map[identity]*code
	order     []*code
	processes map[uint32]bool
	seen      map[seen]bool
}

// seen is a process that has some code in memory.
type seen struct {
	c   *code
	pid uint32
}

func newCollection(self uint32, o *opened) *collection {
	return &collection{self: self, opened: o, codes: map[identity]*code{}, processes: map[uint32]bool{}, seen: map[seen]bool{}}
}

func (c *collection) all() []*code { return c.order }

// files counts what has a file.
func (c *collection) files() (n int) {
	for _, d := range c.order {
		if d.use.HasFile {
			n++
		}
	}
	return n
}

func (c *collection) add(u engine.Use) {
	if u.Kind == engine.Open {
		c.addOpen(u)
		return
	}
	c.processes[u.PID] = true
	d := c.of(u)
	if !c.seen[seen{d, u.PID}] {
		c.seen[seen{d, u.PID}] = true
		d.users++
		if len(d.processes) < maxProcesses {
			d.processes = append(d.processes, api.Process{PID: u.PID, Comm: u.Comm})
		}
	}
	switch u.PID {
	case 1:
		d.play(roleInit)
	case c.self:
		d.play(roleIped)
	}
}

// addOpen adds a program that was opened for the question. Other files that iped has
// open are data.
func (c *collection) addOpen(u engine.Use) {
	i, ok := c.opened.index(u, c.self)
	if !ok {
		return
	}
	p := c.opened.all[i]
	d := c.of(u)
	d.play(p.role)
	if d.path == "" {
		d.path = p.path
	}
}

func (c *collection) of(u engine.Use) *code {
	id := identityOf(u)
	d := c.codes[id]
	if d == nil {
		d = &code{use: u}
		c.codes[id] = d
		c.order = append(c.order, d)
	}
	if len(d.uses) < maxUses {
		d.uses = append(d.uses, u)
	}
	return d
}

func (d *code) play(role string) {
	if role != "" && !slices.Contains(d.roles, role) {
		d.roles = append(d.roles, role)
		slices.SortFunc(d.roles, func(a, b string) int { return slices.Index(roles(), a) - slices.Index(roles(), b) })
	}
}

// weight is small for what matters most.
func (d *code) weight() int {
	if len(d.roles) == 0 {
		return len(roles())
	}
	return slices.Index(roles(), d.roles[0])
}

// where asks the kernel for the file's path. It looks into no file system for that.
func (d *code) where() string {
	if d.path != "" || !d.use.HasFile {
		return d.path
	}
	for _, u := range d.uses {
		link := fmt.Sprintf("/proc/%d/exe", u.PID)
		if u.Kind == engine.Mapped {
			link = fmt.Sprintf("/proc/%d/map_files/%x-%x", u.PID, u.From, u.To)
		}
		if path, err := os.Readlink(link); err == nil {
			d.path = path
			break
		}
	}
	return d.path
}

// lost is what the kernel writes behind the path of a file that has no name any more.
const lost = " (deleted)"

// successor is the path at which another file may have taken the place of one that
// has lost its name.
func (d *code) successor() (string, bool) {
	if !d.use.Unlinked {
		return "", false
	}
	path, ok := strings.CutSuffix(d.where(), lost)
	return path, ok && strings.HasPrefix(path, "/")
}
