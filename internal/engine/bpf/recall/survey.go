package recall

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime/debug"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/engine/bpf/record"
)

// Survey is the iterators over what processes use, loaded when they are needed for the
// first time: a start has no use for them.
type Survey struct {
	mu    sync.Mutex
	coll  *ebpf.Collection
	links []*link.Iter
}

// iterators are the programs that are read, one after the other.
func iterators() []string {
	return []string{"ipe_survey_mapped", "ipe_survey_exe", "ipe_survey_open"}
}

// Prepare loads the iterators, once, on those of the engine's maps that they know.
func (s *Survey) Prepare(ours map[string]*ebpf.Map) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.coll != nil {
		return nil
	}
	if err := s.load(ours); err != nil {
		return errors.Join(err, s.release())
	}
	return nil
}

// Read calls fn with each use that the prepared iterators find.
func (s *Survey) Read(ctx context.Context, fn func(engine.Use)) error {
	s.mu.Lock()
	links := s.links
	s.mu.Unlock()
	for _, l := range links {
		uses, err := readUses(ctx, l)
		if err != nil {
			return err
		}
		for _, u := range uses {
			fn(u)
		}
	}
	return nil
}

// Close lets go of the iterators.
func (s *Survey) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.release()
}

// load attaches the iterators. An attached one does nothing until somebody reads it.
func (s *Survey) load(ours map[string]*ebpf.Map) error {
	defer debug.FreeOSMemory() // of types, which nothing needs later
	spec, err := loadSurvey()
	if err != nil {
		return fmt.Errorf("read embedded BPF object: %w", err)
	}
	types := btf.NewCache()
	kernel, err := types.Kernel()
	if err != nil {
		return fmt.Errorf("read kernel BTF: %w", err)
	}
	s.coll, err = ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{
		MapReplacements: shared(spec, ours), Cache: types, Programs: ebpf.ProgramOptions{KernelTypes: kernel},
	})
	if err != nil {
		return fmt.Errorf("load BPF object: %w", err)
	}
	if err := s.coll.Maps["ipe_survey_asked"].Put(slot, &surveyAsked{Pid: uint32(os.Getpid())}); err != nil {
		return fmt.Errorf("say who asks: %w", err)
	}
	for _, name := range iterators() {
		l, err := link.AttachIter(link.IterOptions{Program: s.coll.Programs[name]})
		if err != nil {
			return fmt.Errorf("attach %s: %w", name, err)
		}
		s.links = append(s.links, l)
	}
	return nil
}

// shared are those of the engine's maps that the object knows.
func shared(spec *ebpf.CollectionSpec, ours map[string]*ebpf.Map) map[string]*ebpf.Map {
	known := maps.Clone(ours)
	maps.DeleteFunc(known, func(name string, _ *ebpf.Map) bool { return spec.Maps[name] == nil })
	return known
}

func (s *Survey) release() error {
	var errs []error
	for _, l := range s.links {
		errs = append(errs, l.Close())
	}
	if s.coll != nil {
		s.coll.Close()
	}
	s.coll, s.links = nil, nil
	return errors.Join(errs...)
}

// readUses reads one iterator to its end. A process whose memory is just being changed
// by something that hangs keeps the kernel waiting; then the reading is left alone.
func readUses(ctx context.Context, l *link.Iter) ([]engine.Use, error) {
	type outcome struct {
		uses []engine.Use
		err  error
	}
	done := make(chan outcome, 1)
	r, err := l.Open()
	if err != nil {
		return nil, fmt.Errorf("open iterator: %w", err)
	}
	go func() {
		defer r.Close()
		uses, err := record.Uses(patient{r})
		done <- outcome{uses, err}
	}()
	select {
	case o := <-done:
		return o.uses, o.err
	case <-ctx.Done():
		return nil, fmt.Errorf("read iterator: %w", context.Cause(ctx))
	}
}

// patient reads on where an iterator pauses: after a million objects of which the
// program had nothing to say.
type patient struct{ r io.Reader }

func (p patient) Read(b []byte) (int, error) {
	for {
		n, err := p.r.Read(b)
		if n > 0 || !errors.Is(err, unix.EAGAIN) {
			return n, err
		}
	}
}
