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

// refreshWalk tells the programs where device-mapper and dm-verity keep what they
// read. Both may be modules that are not there yet, or not any longer; then volumes
// have no facts. A driver that is there and cannot be understood costs the two
// properties, not the engine: they are false in both forms.
func (e *Engine) refreshWalk(types *btf.Cache) (ready bool) {
	w, err := findWalk(types)
	if err == nil {
		err = e.putWalk(w)
	}
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
	var have ipeWalk
	if err := e.maps[mapWalk].Lookup(slot, &have); err != nil {
		return err
	}
	if w == have {
		return nil
	}
	unready := w
	have.Ready, unready.Ready = 0, 0
	for _, step := range []ipeWalk{have, unready, w} {
		if err := e.maps[mapWalk].Put(slot, &step); err != nil {
			return err
		}
	}
	return nil
}

// hasPlainOverlay reports whether overlayfs is there and keeps the layer's open file
// as private data of its own, as it did before 6.13. If that cannot be told, files of
// overlayfs have no facts.
func hasPlainOverlay(types *btf.Cache) bool {
	spec, err := moduleTypes(types, "overlay", "ovl_fs")
	if err != nil || spec == nil {
		return false
	}
	m := members{specs: []*btf.Spec{spec}}
	return m.has("ovl_fs") && !m.has("ovl_file")
}

// findWalk takes the offsets from BTF. Ready is 0 while dm-verity is not loaded.
func findWalk(types *btf.Cache) (ipeWalk, error) {
	w, err := findVerity(types)
	w.Overlay = number(hasPlainOverlay(types))
	return w, err
}

// findVerity is findWalk for dm-verity alone.
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

// members looks up struct members, in a driver's own types and then in the
// kernel's, and keeps the first error.
type members struct {
	specs []*btf.Spec
	err   error
}

// The sizes that the programs read, in bytes.
const (
	anySize = 0
	word    = 4
	pointer = 8
)

func (m *members) must(typ, member string, size int) uint32 {
	off, ok := m.find(typ, member, size)
	if !ok && m.err == nil {
		m.err = fmt.Errorf("struct %s has no %s of the size expected", typ, member)
	}
	return off
}

func (m *members) has(typ string) bool { return len(m.structs(typ)) > 0 }

// structs returns the types of that name, those of the first specification that
// has any. There may be several: a module repeats a type of the kernel when some
// part of it looks different from there.
func (m *members) structs(name string) (found []*btf.Struct) {
	for _, spec := range m.specs {
		types, err := spec.AnyTypesByName(name)
		if err != nil {
			continue
		}
		for _, t := range types {
			if s, ok := t.(*btf.Struct); ok {
				found = append(found, s)
			}
		}
		if len(found) > 0 {
			break
		}
	}
	return found
}

// find returns the offset of a member on which all types of that name agree.
func (m *members) find(typ, member string, size int) (uint32, bool) {
	off, found := noOffset, false
	for _, s := range m.structs(typ) {
		at, ok := offsetOf(s.Members, member, size)
		if !ok {
			continue
		}
		if found && off != at {
			return noOffset, false
		}
		off, found = at, true
	}
	return off, found
}

// offsetOf looks for a member, in anonymous structs and unions, too.
func offsetOf(ms []btf.Member, name string, size int) (uint32, bool) {
	for _, f := range ms {
		if f.Name == name && f.BitfieldSize == 0 {
			n, err := btf.Sizeof(f.Type)
			return f.Offset.Bytes(), err == nil && (size == anySize || size == n)
		}
		if f.Name != "" {
			continue
		}
		if off, ok := offsetOf(inner(f.Type), name, size); ok {
			return f.Offset.Bytes() + off, true
		}
	}
	return noOffset, false
}

func inner(t btf.Type) []btf.Member {
	switch t := btf.UnderlyingType(t).(type) {
	case *btf.Struct:
		return t.Members
	case *btf.Union:
		return t.Members
	}
	return nil
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
