package bpf

import (
	"github.com/cilium/ebpf/btf"

	"github.com/ipe-linux/ipe/internal/kernelabi"
)

// findOverlay takes the offsets in overlayfs: an open file has that of its layer as
// private data, since 6.13 inside a struct ovl_file. If overlayfs is not loaded or
// cannot be understood, its files have no facts.
func findOverlay(types *btf.Cache, w *ipeWalk) {
	spec, err := moduleTypes(types, "overlay", "ovl_inode")
	if err != nil || spec == nil {
		return
	}
	kernel, err := types.Kernel()
	if err != nil {
		return
	}
	m := members{specs: []*btf.Spec{spec, kernel}}
	bit, ok := m.bit("ovl_inode_flag", "OVL_UPPERDATA")
	if !ok {
		return
	}
	w.OvlRealfile, w.OvlUpperData = noOffset, bit
	if m.has("ovl_file") {
		w.OvlRealfile = m.must("ovl_file", "realfile", pointer)
	}
	w.OvlVfsInode = m.must("ovl_inode", "vfs_inode", anySize)
	w.OvlUpperDentry = m.must("ovl_inode", "__upperdentry", pointer)
	w.OvlFlags = m.must("ovl_inode", "flags", pointer)
	w.Overlay = number(m.err == nil)
}

// findInfoTable finds the table of fs-verity information that Linux 7.0 and later
// have. Neither it nor its hash function is in BTF, but both are symbols, at the same
// address until the machine reboots. Without them there is no fsverity_digest, which
// kernelabi finds out, too.
func (e *Engine) findInfoTable(types *btf.Cache, w *ipeWalk) {
	var have ipeWalk
	if err := e.maps[mapWalk].Lookup(slot, &have); err == nil && have.VerityTable != 0 {
		w.VerityTable, w.VerityHash = have.VerityTable, have.VerityHash
		return
	}
	kernel, err := types.Kernel()
	if err != nil {
		return
	}
	m := members{specs: []*btf.Spec{kernel}}
	if _, ok := m.find("fsverity_info", "rhash_head", anySize); !ok {
		return
	}
	symbols, err := kernelabi.Symbols(kernelabi.VerityTable, kernelabi.VerityTableHash)
	if err != nil {
		e.log.Error("fsverity_digest is not available", "error", err)
		return
	}
	w.VerityTable, w.VerityHash = symbols[0], symbols[1]
}
