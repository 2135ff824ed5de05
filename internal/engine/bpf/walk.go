package bpf

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/cilium/ebpf/btf"

	"github.com/ipe-linux/ipe/internal/engine/bpf/offsets"
	"github.com/ipe-linux/ipe/internal/engine/bpf/recall"
	"github.com/ipe-linux/ipe/internal/linux/abi"
)

// refreshWalk tells the programs where device-mapper, dm-verity and file systems keep what
// they read. They may be modules that are not there yet, or not any longer; then
// their files have no facts. A driver that is there and cannot be understood costs its
// facts, not the engine: the two properties of dm-verity are false in both forms then.
func (e *Engine) refreshWalk(types *btf.Cache) (ready bool) {
	var w offsets.Walk
	major, err := deviceMapperMajor()
	err = errors.Join(err, w.FindVerity(types, major))
	e.tellUnread(errors.Join(w.FindMapper(types), w.FindFileSystems(types)))
	e.findInfoTable(types, &w)
	err = errors.Join(err, e.putWalk(w))
	e.noVolumes.Store(err != nil)
	if err != nil {
		e.log.Error("dm-verity properties are not available", "error", err)
		return false
	}
	return w.Ready != 0
}

// tellUnread logs what is not understood once, although it is looked for again and again.
func (e *Engine) tellUnread(err error) {
	if err != nil && err.Error() != e.unread {
		e.log.Error("files of a driver that is not understood have no facts", "error", err)
	}
	e.unread = fmt.Sprint(err)
}

// putWalk replaces the offsets. A reader may see a part of an update, so the old
// ones are taken back first and the new ones declared ready last.
func (e *Engine) putWalk(w offsets.Walk) error {
	e.walk.Lock()
	defer e.walk.Unlock()
	var have offsets.Walk
	if err := e.maps[mapWalk].Lookup(slot, &have); err != nil {
		return fmt.Errorf("read offsets: %w", err)
	}
	w.SignedRoots = have.SignedRoots
	if w == have {
		return nil
	}
	for _, step := range []offsets.Walk{have.Unready(), w.Unready(), w} {
		if err := e.maps[mapWalk].Put(slot, &step); err != nil {
			return fmt.Errorf("write offsets: %w", err)
		}
	}
	return nil
}

// findInfoTable finds the table of fs-verity information that Linux 7.0 and later
// have. Neither it nor its hash function is in BTF, but both are symbols, at the same
// address until the machine reboots. Without them there is no fsverity_digest, which
// abi finds out, too.
func (e *Engine) findInfoTable(types *btf.Cache, w *offsets.Walk) {
	var have offsets.Walk
	if err := e.maps[mapWalk].Lookup(slot, &have); err == nil && have.VerityTable != 0 {
		w.VerityTable, w.VerityHash = have.VerityTable, have.VerityHash
		return
	}
	kernel, err := types.Kernel()
	if err != nil {
		return
	}
	if !offsets.HasInfoTable(kernel) {
		return
	}
	found, err := recall.Symbols(abi.VerityTable, abi.VerityTableHash)
	if err != nil {
		e.log.Error("fsverity_digest is not available", "error", err)
		return
	}
	w.VerityTable, w.VerityHash = found[0], found[1]
}

// deviceMapperMajor is the major number of mapped devices, 0 while there is none.
func deviceMapperMajor() (uint32, error) {
	text, err := os.ReadFile("/proc/devices")
	if err != nil {
		return 0, fmt.Errorf("read device numbers: %w", err)
	}
	return parseMajor(string(text))
}

// parseMajor reads the number of block devices of device-mapper in /proc/devices.
func parseMajor(text string) (uint32, error) {
	_, blocks, _ := strings.Cut(text, "Block devices:")
	for line := range strings.Lines(blocks) {
		if f := strings.Fields(line); len(f) == 2 && f[1] == "device-mapper" {
			n, err := strconv.ParseUint(f[0], 10, 12)
			if err != nil {
				return 0, fmt.Errorf("read device numbers: %w", err)
			}
			return uint32(n), nil
		}
	}
	return 0, nil
}
