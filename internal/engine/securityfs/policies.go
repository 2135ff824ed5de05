package securityfs

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/plain"
)

// errUnsigned refuses a policy without a message.
var errUnsigned = errors.New("the kernel's IPE takes signed policies only; an unsigned one is compiled into it (CONFIG_IPE_BOOT_POLICY)")

// Load adds a policy, inactive.
func (e *Engine) Load(envelope []byte) error {
	e.change.Lock()
	defer e.change.Unlock()
	return write(e.tree.path(nodeNewPolicy), envelope)
}

// Update replaces the policy of that name, or loads it if there is none.
func (e *Engine) Update(name string, envelope []byte) error {
	e.change.Lock()
	defer e.change.Unlock()
	return e.put(name, envelope)
}

func (e *Engine) put(name string, envelope []byte) error {
	err := write(e.tree.policyNode(name, nodeUpdate), envelope)
	if errors.Is(err, unix.ENOENT) {
		err = write(e.tree.path(nodeNewPolicy), envelope)
	}
	return err
}

// Delete removes a policy that is not active.
func (e *Engine) Delete(name string) error {
	e.change.Lock()
	defer e.change.Unlock()
	return write(e.tree.policyNode(name, nodeDelete), []byte("1"))
}

// Held lists the policies. One that goes while they are read is left out.
func (e *Engine) Held() ([]engine.Held, error) {
	names, err := e.tree.names()
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	held := make([]engine.Held, 0, len(names))
	for _, name := range names {
		h, err := e.tree.held(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		held = append(held, h)
	}
	return held, nil
}

// Activate makes a the policy that decides: loaded if the kernel has none of its
// name, updated if it has another one, then activated. An update of the active
// policy is one step. The kernel may refuse to go back to an older version.
func (e *Engine) Activate(a engine.Active) error {
	if a.Envelope == nil {
		return fmt.Errorf("activate: %w", errUnsigned)
	}
	e.change.Lock()
	defer e.change.Unlock()
	e.known.add(a.ID, a.Policy)
	there, err := e.tree.message(a.Policy.Name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		err = write(e.tree.path(nodeNewPolicy), a.Envelope)
	case err == nil && sha256.Sum256(there) != a.ID:
		err = e.put(a.Policy.Name, a.Envelope)
	}
	if err != nil {
		return fmt.Errorf("activate: %w", err)
	}
	if err := write(e.tree.policyNode(a.Policy.Name, nodeActive), []byte("1")); err != nil {
		return fmt.Errorf("activate: %w", err)
	}
	e.known.generation(a.ID)
	return nil
}

// SetMode changes enforce and success_audit where they differ.
func (e *Engine) SetMode(m engine.Mode) error {
	e.change.Lock()
	defer e.change.Unlock()
	if err := writeBool(e.tree.path(nodeSuccessAudit), m.SuccessAudit); err != nil {
		return fmt.Errorf("set mode: %w", err)
	}
	if err := writeBool(e.tree.path(nodeEnforce), m.Enforce); err != nil {
		return fmt.Errorf("set mode: %w", err)
	}
	return nil
}

// hooks are those of the kernel's IPE that decide, which cannot be detached.
func hooks() []string {
	return []string{"bprm_check_security", "file_mprotect", "kernel_load_data", "kernel_read_file", "mmap_file"}
}

// activeTries is how often the active policy may change between being found and
// being read, before that is an error.
const activeTries = 10

// State reads back what the kernel has.
func (e *Engine) State() (engine.State, error) {
	s := engine.State{Adopted: e.adopted, Hooks: hooks()}
	s.Silent, s.Lost = e.records.condition()
	var err error
	if s.Mode.Enforce, err = readBool(e.tree.path(nodeEnforce)); err != nil {
		return s, fmt.Errorf("state: %w", err)
	}
	if s.Mode.SuccessAudit, err = readBool(e.tree.path(nodeSuccessAudit)); err != nil {
		return s, fmt.Errorf("state: %w", err)
	}
	for range activeTries {
		s.ID, s.HasPolicy, err = e.activeID()
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil {
		return s, fmt.Errorf("state: %w", err)
	}
	if s.HasPolicy {
		s.Generation = e.known.generation(s.ID)
	}
	return s, nil
}

// activeID finds the policy that decides: the SHA-256 of its message, or of nothing
// for the one compiled into the kernel. There is one for good once there was one, so
// finding none after others were seen means that it changed meanwhile.
func (e *Engine) activeID() (id [32]byte, found bool, err error) {
	names, err := e.tree.names()
	if err != nil {
		return id, false, err
	}
	for _, name := range names {
		active, err := readBool(e.tree.policyNode(name, nodeActive))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return id, false, fmt.Errorf("policy %s: %w", plain.Name(name), err)
		}
		if !active {
			continue
		}
		message, err := e.tree.message(name)
		if err != nil {
			return id, false, err
		}
		return sha256.Sum256(message), true, nil
	}
	if e.known.any() {
		return id, false, fmt.Errorf("no policy is active any more: %w", fs.ErrNotExist)
	}
	return id, false, nil
}
