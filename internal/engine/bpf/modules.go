package bpf

import (
	"strings"
	"time"

	"github.com/cilium/ebpf/btf"

	"github.com/ipe-linux/ipe/internal/engine/bpf/recall"
	"github.com/ipe-linux/ipe/internal/linux/abi"
)

// A module announces itself before it is initialised; its device number may take
// this long to appear.
const (
	moduleSettle = 50 * time.Millisecond
	moduleTries  = 20
)

// heard is called with each event of the kernel.
func (e *Engine) heard(event abi.Event) {
	if event == abi.LostEvent || isFactSource(event) {
		e.modulesChanged()
	}
	if event == abi.LostEvent || isMappedDevice(event) {
		e.checkMissed()
	}
}

// isFactSource tells whether it is a driver that facts come from.
func isFactSource(event abi.Event) bool {
	switch event.Object {
	case "/module/dm_mod", "/module/dm_verity", "/module/overlay", "/module/btrfs", "/module/erofs", "/module/ext4", "/module/xfs":
		return true
	}
	return false
}

// isMappedDevice: the kernel tells of each that goes on after a change of its table.
func isMappedDevice(event abi.Event) bool {
	return strings.HasPrefix(event.Object, "/devices/virtual/block/dm-")
}

// modulesChanged learns where a newly loaded driver keeps its facts. Until then its
// volumes have none.
func (e *Engine) modulesChanged() {
	defer releaseTypes()
	types := btf.NewCache()
	for range moduleTries {
		done := e.refreshWalk(types) || e.noVolumes.Load()
		e.followTables(types) // before dm-verity is there, too
		if done {
			break
		}
		time.Sleep(moduleSettle)
	}
	report := (&abi.System{Types: types.Kernel, Addresses: recall.Symbols}).Probe()
	e.report.Store(&report)
	if err := e.relower(); err != nil {
		e.log.Error("the active policy was not adapted to a new driver", "error", err)
	}
}

// relower makes the tables of the active policy anew if they were made for a kernel
// that provided something else.
func (e *Engine) relower() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	meta, ok, err := e.meta()
	if err != nil || !ok || meta.Unavailable == e.Unavailable() || e.active == nil || e.active.ID != meta.ID {
		return err
	}
	return e.replace(*e.active, meta.Generation)
}
