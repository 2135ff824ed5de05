package engine

import (
	"context"
	"os"

	"github.com/ipe-linux/ipe/eval"
)

// UseKind says how code is used.
type UseKind uint32

// The kinds of uses.
const (
	// Mapped: a process has it in memory, executable.
	Mapped UseKind = iota
	// Started: it is what the process was started from.
	Started
	// Open: whoever asks has opened it.
	Open
)

// Use is one use of code, with the facts on which a decision about it would rest now.
type Use struct {
	Kind UseKind
	PID  uint32
	Comm string
	// File is the descriptor, if it is Open.
	File uint32
	// From and To are where it is Mapped.
	From, To uint64
	// HasFile is false of memory that no file is behind.
	HasFile bool
	// Unlinked: the file has no name any more.
	Unlinked     bool
	Major, Minor uint32
	Inode        uint64
	Evidence     eval.Evidence
}

// Surveyor is an engine that can say what a policy would be asked about.
type Surveyor interface {
	// PrepareSurvey does, once, what a survey needs and takes a while, but waits for
	// nobody. Survey does it otherwise.
	PrepareSurvey() error
	// Survey calls fn for all that processes execute, and for files, which this process
	// has open. Nothing is recorded. It waits for no file system, and no longer than ctx.
	Survey(ctx context.Context, files []*os.File, fn func(Use)) error
}
