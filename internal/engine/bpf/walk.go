package bpf

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/cilium/ebpf/btf"
)

// noOffset marks a member that this kernel does not have (IPE_NO_OFFSET).
const noOffset = ^uint32(0)

// refreshWalk tells the programs where device-mapper, dm-verity, overlayfs and btrfs
// keep what they read. They may be modules that are not there yet, or not any longer; then
// their files have no facts. A driver that is there and cannot be understood costs the
// two properties, not the engine: they are false in both forms.
func (e *Engine) refreshWalk(types *btf.Cache) (ready bool) {
	w, err := findVerity(types)
	if err != nil {
		w = ipeWalk{}
	}
	findOverlay(types, &w)
	findBtrfs(types, &w)
	e.findInfoTable(types, &w)
	err = errors.Join(err, e.putWalk(w))
	e.noVolumes.Store(err != nil)
	if err != nil {
		e.log.Error("dm-verity properties are not available", "error", fmt.Errorf("find dm-verity: %w", err))
		return false
	}
	return w.Ready != 0
}

// putWalk replaces the offsets. A reader may see a part of an update, so the old
// ones are taken back first and the new ones declared ready last.
func (e *Engine) putWalk(w ipeWalk) error {
	e.walk.Lock()
	defer e.walk.Unlock()
	var have ipeWalk
	if err := e.maps[mapWalk].Lookup(slot, &have); err != nil {
		return err
	}
	w.SignedRoots = have.SignedRoots
	if w == have {
		return nil
	}
	unready := w
	have.Ready, unready.Ready = 0, 0
	have.Overlay, unready.Overlay = 0, 0
	have.Btrfs, unready.Btrfs = 0, 0
	for _, step := range []ipeWalk{have, unready, w} {
		if err := e.maps[mapWalk].Put(slot, &step); err != nil {
			return err
		}
	}
	return nil
}

// findVerity takes the offsets from BTF. Ready is 0 while dm-verity is not loaded.
func findVerity(types *btf.Cache) (ipeWalk, error) {
	major, err := deviceMapperMajor()
	if err != nil || major == 0 {
		return ipeWalk{}, err
	}
	dm, err := moduleTypes(types, "dm_mod", "mapped_device")
	if err != nil {
		return ipeWalk{}, err
	}
	verity, err := moduleTypes(types, "dm_verity", "dm_verity")
	if err != nil || dm == nil || verity == nil {
		return ipeWalk{}, err
	}
	kernel, err := types.Kernel()
	if err != nil {
		return ipeWalk{}, fmt.Errorf("read kernel BTF: %w", err)
	}
	d, v := members{specs: []*btf.Spec{dm, kernel}}, members{specs: []*btf.Spec{verity, kernel}}
	w := ipeWalk{
		Ready: 1, DmMajor: major,
		MdMap:            d.must("mapped_device", "map", pointer),
		TableNumTargets:  d.must("dm_table", "num_targets", word),
		TableTargets:     d.must("dm_table", "targets", pointer),
		TargetType:       d.must("dm_target", "type", pointer),
		TargetPrivate:    d.must("dm_target", "private", pointer),
		TypeName:         d.must("target_type", "name", pointer),
		VerityRootDigest: v.must("dm_verity", "root_digest", pointer),
		VerityDigestSize: v.must("dm_verity", "digest_size", word),
		VerityAlgName:    v.must("dm_verity", "alg_name", pointer),
		AlgCraName:       v.must("crypto_alg", "cra_name", anySize),
	}
	v.setHash(&w)
	v.setSignature(&w)
	return w, errors.Join(d.err, v.err)
}

// setHash finds the crypto handles of dm-verity: one ahash before 6.12, an ahash
// or a shash since then.
func (m *members) setHash(w *ipeWalk) {
	candidates := []struct{ member, handle string }{
		{"shash_tfm", "crypto_shash"}, {"ahash_tfm", "crypto_ahash"}, {"tfm", "crypto_ahash"},
	}
	w.VerityTfm = [2]uint32{noOffset, noOffset}
	w.TfmAlg = w.VerityTfm
	n := 0
	for _, c := range candidates {
		if off, ok := m.find("dm_verity", c.member, pointer); ok && n < len(w.VerityTfm) {
			w.VerityTfm[n] = off
			w.TfmAlg[n] = m.must(c.handle, "base", anySize) + m.must("crypto_tfm", "__crt_alg", pointer)
			n++
		}
	}
}

// setSignature finds what says that a volume's root hash was signed. Since 6.12
// the signature itself is kept; before, the key description that the constructor
// accepts only together with a valid signature.
func (m *members) setSignature(w *ipeWalk) {
	w.VeritySig, w.VeritySigSize = noOffset, noOffset
	if sig, ok := m.find("dm_verity", "root_digest_sig", pointer); ok {
		w.VeritySig, w.VeritySigSize = sig, m.must("dm_verity", "sig_size", word)
	} else if desc, ok := m.find("dm_verity", "signature_key_desc", pointer); ok {
		w.VeritySig = desc
	}
}

// moduleTypes returns the types of a driver, those of the kernel if it is built in,
// nil if it is not loaded. structure is one that only this driver has.
func moduleTypes(types *btf.Cache, module, structure string) (*btf.Spec, error) {
	spec, err := types.Module(module)
	if err == nil {
		return spec, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read BTF of %s: %w", module, err)
	}
	kernel, err := types.Kernel()
	if err != nil {
		return nil, fmt.Errorf("read kernel BTF: %w", err)
	}
	if k := (&members{specs: []*btf.Spec{kernel}}); !k.has(structure) {
		return nil, nil
	}
	return kernel, nil
}

// deviceMapperMajor is the major number of mapped devices, 0 while there is none.
func deviceMapperMajor() (uint32, error) {
	text, err := os.ReadFile("/proc/devices")
	if err != nil {
		return 0, fmt.Errorf("read device numbers: %w", err)
	}
	_, blocks, _ := strings.Cut(string(text), "Block devices:")
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
