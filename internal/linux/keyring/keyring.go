// Package keyring asks the running kernel whether a key of its own keyrings made a
// signature: the builtin and secondary trusted keys, then those of the platform. No
// key is read. A BPF program puts the message to the very function by which the
// kernel's IPE, dm-verity and module loader verify, so the answer is the kernel's,
// with its errno.
//
// A program must be called to be able to ask. It hangs on the hook of bpf(2) while a
// question is put, never denies, and answers one call only: the one that carries a
// number that the question names. Nothing stays attached.
package keyring

import (
	"errors"
	"fmt"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"

	"github.com/ipe-linux/ipe/internal/linux/abi"
	"github.com/ipe-linux/ipe/sign"
)

// Name names keyrings of the kernel.
type Name string

// The keyrings, in the order in which they are asked.
const (
	Trusted  Name = "the kernel's builtin or secondary keyring"
	Platform Name = "the kernel's platform keyring"
)

// rings are the keyrings with the numbers that the kernel has for them. Where there
// is no secondary keyring the kernel takes the builtin one.
var rings = []struct {
	name Name
	id   uint32
}{{Trusted, 1}, {Platform, 2}}

// Kernel is the running kernel as a verifier. Its methods may be called
// concurrently.
type Kernel struct {
	mu      sync.Mutex // one question at a time
	program *ebpf.Program
	asked   *ebpf.Map
}

// Open loads what is needed to ask. It fails with [abi.UnsupportedError] on a
// kernel that cannot be asked.
func Open() (*Kernel, error) {
	types := btf.NewCache()
	f, _ := (&abi.System{Types: types.Kernel}).Feature(abi.KernelKeyrings)
	if f.State != abi.Yes {
		return nil, &abi.UnsupportedError{Feature: f.Name, Min: f.Min, Detail: f.Detail, Fix: f.Fix}
	}
	spec, err := loadVerify()
	if err != nil {
		return nil, fmt.Errorf("open kernel keyrings: read embedded BPF object: %w", err)
	}
	var o verifyObjects
	if err := spec.LoadAndAssign(&o, &ebpf.CollectionOptions{Cache: types}); err != nil {
		return nil, fmt.Errorf("open kernel keyrings: load BPF object: %w", err)
	}
	return &Kernel{program: o.IpeVerify, asked: o.IpeQuestion}, nil
}

// Close gives back what Open took.
func (k *Kernel) Close() error { return errors.Join(k.program.Close(), k.asked.Close()) }

// Verify returns what the message contains and whose key signed it, if the kernel's
// IPE would take the message. Errors wrap the sentinels of package sign.
//
// The kernel is given message and content apart, since newer ones verify for a BPF
// program only so. Hence what it has verified is what is returned here, whatever the
// encoding of the message.
func (k *Kernel) Verify(message []byte) (*sign.Envelope, Name, error) {
	e, apart, fault := sign.Detach(message)
	if errors.Is(fault, sign.ErrRejected) {
		return nil, "", fmt.Errorf("verify by the kernel: %w", fault)
	}
	if fault != nil {
		e, apart = &sign.Envelope{}, message // the kernel shall say what is wrong
	}
	ring, err := k.askAll(apart, e.Content)
	if err == nil {
		err = fault
	}
	if err != nil {
		return nil, "", fmt.Errorf("verify by the kernel: %w", err)
	}
	return e, ring, nil
}

// VerifyDetached is Verify for a message without content, over content: what the
// kernel's dm-verity does with the signature of a root hash.
func (k *Kernel) VerifyDetached(message, content []byte) (Name, error) {
	ring, err := k.askAll(message, content)
	if err != nil {
		return "", fmt.Errorf("verify detached signature by the kernel: %w", err)
	}
	return ring, nil
}

// askAll goes on to the next keyring where IPE does: if the one before has no such
// key, or rejects. The last answer counts.
func (k *Kernel) askAll(message, content []byte) (name Name, err error) {
	if n := max(len(message), len(content)); n > sign.MaxLen {
		return "", fmt.Errorf("%d bytes, at most %d: %w", n, sign.MaxLen, sign.ErrTooLong)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	l, err := link.AttachLSM(link.LSMOptions{Program: k.program})
	if err != nil {
		return "", fmt.Errorf("attach: %w", err)
	}
	defer l.Close()
	for _, r := range rings {
		err = k.ask(question(r.id, message, content))
		if err == nil {
			return r.name, nil
		}
		if !errors.Is(err, sign.ErrUntrusted) && !errors.Is(err, sign.ErrRejected) {
			return "", fmt.Errorf("%s: %w", r.name, err)
		}
	}
	return "", err
}
