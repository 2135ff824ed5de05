// Package recall asks the kernel for what was before an engine listened, or what it never
// announces: fs-verity signatures that it verified, what processes execute, and where its
// symbols are.
package recall

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/linux/abi"
	"github.com/ipe-linux/ipe/internal/linux/fsioctl"
)

// Run makes up for signatures that the kernel verified before an engine listened: it says
// each once. Files that nobody uses are made to leave memory, so that the kernel says it
// again, unless keepCaches; those in use, a library that init has mapped, are verified
// anew, by the kernel. The maps are those of the engine. What goes wrong here costs the
// fact for such files and nothing else.
func Run(log *slog.Logger, ours map[string]*ebpf.Map, types *btf.Cache, keepCaches bool) {
	keyring, err := abi.VerityKeyring()
	if err != nil {
		log.Warn("fs-verity files that are in memory already count as not signed", "error", err)
		return
	}
	if keyring == 0 {
		return // without a key no signature was ever found valid
	}
	if !keepCaches {
		if err := dropInodes(); err != nil {
			log.Warn("fs-verity files that are in memory already may count as not signed", "error", err)
		}
	}
	seen, valid, err := recallInUse(log, ours, types, keyring)
	if err != nil {
		log.Warn("fs-verity files in use count as not signed", "error", err)
		return
	}
	log.Info("verified the signatures of fs-verity files in use", "files", seen, "valid", valid)
}

// Limits of dropInodes. Each round lets go of what the one before left unused: an entry
// that was looked up lately, then its inode, then what that used, below an overlayfs. A
// dead file server may keep sync(2) waiting for ever, which must not keep the engine.
const (
	dropRounds = 16
	syncTime   = 20 * time.Second
)

// dropInodes makes inodes that nobody uses leave memory, with their pages, which would
// keep them there, as would that they are not written yet.
func dropInodes() error {
	synced := make(chan struct{})
	go func() {
		unix.Sync()
		close(synced)
	}()
	select {
	case <-synced:
	case <-time.After(syncTime):
	}
	before, still := math.MaxInt, 0
	for range dropRounds {
		if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
			return fmt.Errorf("drop unused inodes: %w", err)
		}
		now, err := cachedInodes()
		if err != nil {
			return fmt.Errorf("drop unused inodes: %w", err)
		}
		if still++; now < before {
			still = 0
		}
		if before = now; still == 2 {
			return nil
		}
	}
	return nil
}

// cachedInodes counts the entries and inodes that the kernel keeps.
func cachedInodes() (int, error) {
	sum := 0
	for _, name := range []string{"/proc/sys/fs/dentry-state", "/proc/sys/fs/inode-nr"} {
		text, err := os.ReadFile(name)
		if err != nil {
			return 0, err
		}
		first, _, _ := strings.Cut(string(text), "\t")
		n, err := strconv.Atoi(first)
		if err != nil {
			return 0, fmt.Errorf("read %s: %w", name, err)
		}
		sum += n
	}
	return sum, nil
}

// recallInUse verifies the signature of each fs-verity file that some process has open
// or mapped.
func recallInUse(log *slog.Logger, ours map[string]*ebpf.Map, types *btf.Cache, keyring int32) (seen, valid int, err error) {
	a, err := newAsker(ours, types)
	if err != nil {
		return 0, 0, err
	}
	defer a.close()
	err = verityFilesInUse(a.coll.Programs, func(f *os.File) error {
		signature, err := fsioctl.ReadSignature(f)
		if err != nil || len(signature) == 0 {
			return nil // none, or on a file system that cannot say
		}
		seen++
		switch err := a.ask(f, keyring, signature); {
		case err == nil:
			valid++
		case errors.Is(err, errNotCalled):
			return err
		default:
			log.Warn("the signature of an fs-verity file in use is not valid", "file", f.Name(), "error", err)
		}
		return nil
	})
	return seen, valid, err
}

// slot is the one slot of the map for questions.
const slot = uint32(0)

// errNotCalled: the program is attached and was not called.
var errNotCalled = errors.New("the kernel did not call the program that verifies")

// asker has the kernel verify signatures by a program that is attached while it lives.
type asker struct {
	coll *ebpf.Collection
	link link.Link
}

// newAsker attaches the program, on those of the engine's maps that it knows.
func newAsker(ours map[string]*ebpf.Map, types *btf.Cache) (*asker, error) {
	spec, err := loadRecall()
	if err != nil {
		return nil, fmt.Errorf("read embedded BPF object: %w", err)
	}
	kernel, err := types.Kernel()
	if err != nil {
		return nil, fmt.Errorf("read kernel BTF: %w", err)
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{
		MapReplacements: shared(spec, ours), Cache: types, Programs: ebpf.ProgramOptions{KernelTypes: kernel},
	})
	if err != nil {
		return nil, fmt.Errorf("load BPF object: %w", err)
	}
	l, err := link.AttachLSM(link.LSMOptions{Program: coll.Programs["ipe_recall"]})
	if err != nil {
		coll.Close()
		return nil, fmt.Errorf("attach: %w", err)
	}
	return &asker{coll: coll, link: l}, nil
}

func (a *asker) close() {
	a.link.Close()
	a.coll.Close()
}

// ask has the kernel verify the signature of an open file; the program remembers the
// inode if it is valid.
func (a *asker) ask(f *os.File, keyring int32, signature []byte) error {
	var number [8]byte
	_, _ = rand.Read(number[:]) // it never fails
	r := &recallRecall{
		Number: binary.NativeEndian.Uint64(number[:]) | 1, Fd: uint32(f.Fd()),
		Keyring: keyring, SignatureLen: uint32(len(signature)),
	}
	copy(r.Signature[:], signature)
	asked := a.coll.Maps["ipe_recall_file"]
	if err := asked.Put(slot, r); err != nil {
		return fmt.Errorf("ask: %w", err)
	}
	// A call that only wants the number of a program: on its way the kernel calls ours.
	const progGetNextID = 11
	_, _, _ = unix.Syscall(unix.SYS_BPF, progGetNextID, uintptr(unsafe.Pointer(&r.Number)), unsafe.Sizeof(r.Number))
	runtime.KeepAlive(f)
	if err := asked.Lookup(slot, r); err != nil {
		return fmt.Errorf("ask: %w", err)
	}
	switch {
	case r.Answered == 0:
		return errNotCalled
	case r.Answer != 0:
		return syscall.Errno(-r.Answer)
	}
	return nil
}
