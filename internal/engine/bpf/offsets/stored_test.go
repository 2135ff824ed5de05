package offsets_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/internal/engine/bpf/offsets"
	"github.com/ipe-linux/ipe/internal/engine/bpf/offsets/offsetstest"
)

// kernels are those of testdata.
func kernels(t *testing.T) map[string]offsetstest.Stored {
	t.Helper()
	all, err := offsetstest.Kernels("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, series := range []string{"6.1", "6.12", "7.3"} {
		if _, ok := all[series]; !ok {
			t.Errorf("no types of %s are stored", series)
		}
	}
	return all
}

// find does what a start of the engine does.
func find(types offsets.Types) (w offsets.Walk, err error) {
	return w, errors.Join(w.FindMapper(types), w.FindVerity(types, offsetstest.Major), w.FindFileSystems(types))
}

// TestStoredKernels: the extracts give what the whole of a kernel's types gave, and say
// which package they are from.
func TestStoredKernels(t *testing.T) {
	for series, stored := range kernels(t) {
		t.Run(series, func(t *testing.T) {
			want, err := stored.Expected()
			if err != nil {
				t.Fatal(err)
			}
			if image := "linux-image-" + want.Release + "_"; !strings.HasPrefix(want.Package, image) || !strings.HasPrefix(want.Release, series+".") {
				t.Errorf("the types of %s come from %s, release %s", series, want.Package, want.Release)
			}
			t.Log(want.Package)
			w, err := find(stored)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want.Walk, w, cmp.FilterPath(isBlank, cmp.Ignore())); diff != "" {
				t.Error(diff)
			}
			kernel, err := stored.Kernel()
			if err != nil {
				t.Fatal(err)
			}
			if offsets.AsksFirst(kernel) != want.AsksFirst || offsets.HasInfoTable(kernel) != want.HasInfoTable {
				t.Errorf("asks first: %t, has table: %t", offsets.AsksFirst(kernel), offsets.HasInfoTable(kernel))
			}
		})
	}
}

func isBlank(p cmp.Path) bool { return p.Last().String() == "._" }

// TestAbsent: what older kernels lack is not found there, and found where it came.
func TestAbsent(t *testing.T) {
	type facts struct {
		Handles                                       int // of crypto
		SignatureSize, OverlayFile, InfoTable, IsAsks bool
		Announced, Verified                           bool // of fs-verity signatures
	}
	want := map[string]facts{
		"6.1":  {Handles: 1, Verified: true},
		"6.12": {Handles: 2, SignatureSize: true, Announced: true, Verified: true},
		"7.3":  {Handles: 1, SignatureSize: true, OverlayFile: true, InfoTable: true, IsAsks: true, Announced: true, Verified: true},
	}
	all := kernels(t)
	for series, want := range want {
		w, err := find(all[series])
		if err != nil {
			t.Fatal(err)
		}
		kernel, err := all[series].Kernel()
		if err != nil {
			t.Fatal(err)
		}
		got := facts{
			SignatureSize: w.VeritySigSize != offsets.None, OverlayFile: w.OvlRealfile != offsets.None,
			InfoTable: offsets.HasInfoTable(kernel), IsAsks: offsets.AsksFirst(kernel),
			Announced: offsets.HasHook(kernel, "inode_setintegrity"), Verified: offsets.HasFunction(kernel, "fsverity_verify_signature"),
		}
		for _, at := range w.VerityTfm {
			if at != offsets.None {
				got.Handles++
			}
		}
		if got != want || w.VeritySig == offsets.None {
			t.Errorf("%s: %+v, want %+v", series, got, want)
		}
	}
}

// edited are a kernel's types that a test damages.
type edited struct {
	kernel  *btf.Spec
	modules map[string]*btf.Spec
	broken  error
}

func (e *edited) Kernel() (*btf.Spec, error) {
	if e.kernel == nil {
		return nil, e.broken
	}
	return e.kernel, nil
}

func (e *edited) Module(name string) (*btf.Spec, error) {
	switch spec, ok := e.modules[name]; {
	case !ok:
		return nil, fmt.Errorf("module %s: %w", name, fs.ErrNotExist)
	case spec == nil:
		return nil, e.broken
	default:
		return spec, nil
	}
}

// members has fn change the members of every type of that name.
func (e *edited) members(t *testing.T, name string, fn func([]btf.Member) []btf.Member) {
	t.Helper()
	n := 0
	for _, spec := range slices.AppendSeq([]*btf.Spec{e.kernel}, maps.Values(e.modules)) {
		types, err := spec.AnyTypesByName(name)
		if err != nil {
			continue
		}
		for _, typ := range types {
			if s, ok := typ.(*btf.Struct); ok {
				s.Members = fn(s.Members)
				n++
			}
		}
	}
	if n == 0 {
		t.Fatalf("no struct %s", name)
	}
}

func load(t *testing.T, stored offsetstest.Stored) *edited {
	t.Helper()
	e := &edited{modules: map[string]*btf.Spec{}, broken: errors.New("damaged")}
	var err error
	if e.kernel, err = stored.Kernel(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"dm_mod", "dm_verity", "overlay", "btrfs", "erofs", "xfs"} { // ext4 is built in
		if e.modules[name], err = stored.Module(name); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

// without drops a member, at any depth of anonymous ones.
func without(name string) func([]btf.Member) []btf.Member {
	return func(ms []btf.Member) []btf.Member {
		return slices.DeleteFunc(slices.Clone(ms), func(m btf.Member) bool { return m.Name == name })
	}
}

// narrower makes a member one byte.
func narrower(name string) func([]btf.Member) []btf.Member {
	return func(ms []btf.Member) []btf.Member {
		ms = slices.Clone(ms)
		for i := range ms {
			if ms[i].Name == name {
				ms[i].Type = &btf.Int{Name: "char", Size: 1}
			}
		}
		return ms
	}
}

// TestMoved: an offset is where the types say, and nowhere else.
func TestMoved(t *testing.T) {
	for series, stored := range kernels(t) {
		before, err := find(stored)
		if err != nil {
			t.Fatal(err)
		}
		e := load(t, stored)
		e.members(t, "dm_verity", func(ms []btf.Member) []btf.Member {
			ms = slices.Clone(ms)
			for i := range ms {
				ms[i].Offset += 8 * 1024
			}
			return ms
		})
		after, err := find(e)
		if err != nil {
			t.Fatal(err)
		}
		want := before
		for _, at := range []*uint32{&want.VerityMode, &want.VerityValidated, &want.VerityTarget, &want.VerityRootDigest, &want.VerityDigestSize, &want.VerityAlgName, &want.VeritySig, &want.VeritySigSize, &want.VerityTfm[0], &want.VerityTfm[1]} {
			if *at != offsets.None {
				*at += 1024
			}
		}
		if after != want {
			t.Errorf("%s: %+v, want %+v", series, after, want)
		}
	}
}

// TestNoWayBack: without a way from a volume to its device, only that is not there.
func TestNoWayBack(t *testing.T) {
	for series, stored := range kernels(t) {
		for _, m := range []struct{ typ, member string }{{"dm_verity", "ti"}, {"dm_target", "table"}, {"dm_table", "md"}} {
			e := load(t, stored)
			e.members(t, m.typ, without(m.member))
			w, err := find(e)
			if err != nil || w.Ready == 0 || w.VerityTarget != offsets.None || w.TargetTable != offsets.None || w.TableMd != offsets.None {
				t.Errorf("%s without %s: %+v, %v", series, m.member, w, err)
			}
		}
	}
}

// TestDamaged: a driver whose types cannot be understood is an error that names the
// member, and takes nothing from the other drivers.
func TestDamaged(t *testing.T) {
	drop := func(typ, member string) func(*testing.T, *edited) {
		return func(t *testing.T, e *edited) { e.members(t, typ, without(member)) }
	}
	for _, tt := range []struct {
		name   string
		damage func(*testing.T, *edited)
		want   string
	}{
		{"no kernel types", func(_ *testing.T, e *edited) { e.kernel = nil }, "find dm-verity: read kernel BTF: damaged"},
		{"unreadable module", func(_ *testing.T, e *edited) { e.modules["dm_verity"] = nil }, "find dm-verity: read BTF of dm_verity: damaged"},
		{"no target type", drop("dm_target", "type"), "find dm-verity: struct dm_target has no type of the size expected"},
		{"no root digest", drop("dm_verity", "root_digest"), "struct dm_verity has no root_digest of the size expected"},
		{"short digest size", func(t *testing.T, e *edited) { e.members(t, "dm_verity", narrower("digest_size")) }, "struct dm_verity has no digest_size of the size expected"},
		{"no algorithm", drop("crypto_tfm", "__crt_alg"), "struct crypto_tfm has no __crt_alg"},
		{"no target name", drop("target_type", "name"), "struct target_type has no name"},
		{"unreadable overlayfs", func(_ *testing.T, e *edited) { e.modules["overlay"] = nil }, "find overlayfs: read BTF of overlay: damaged"},
		{"other overlayfs", func(_ *testing.T, e *edited) { e.modules["overlay"] = e.modules["btrfs"] }, "find overlayfs: enum ovl_inode_flag has no OVL_UPPERDATA"},
		{"no upper entry", drop("ovl_inode", "__upperdentry"), "find overlayfs: struct ovl_inode has no __upperdentry"},
		{"unreadable btrfs", func(_ *testing.T, e *edited) { e.modules["btrfs"] = nil }, "find btrfs: read BTF of btrfs: damaged"},
		{"no devices", drop("btrfs_fs_devices", "latest_dev"), "find btrfs: struct btrfs_fs_devices has no latest_dev"},
		{"no journal", drop("ext4_sb_info", "s_journal"), "find ext4: struct ext4_sb_info has no s_journal"},
		{"no devices of erofs", drop("erofs_sb_info", "devs"), "find erofs: struct erofs_sb_info has no devs"},
		{"no domain", drop("erofs_sb_info", "domain_id"), "find erofs: struct erofs_sb_info has no domain_id"},
		{"no realtime part", drop("xfs_mount", "m_rtdev_targp"), "find xfs: struct xfs_mount has no m_rtdev_targp"},
		{"no live table", drop("mapped_device", "map"), "find device-mapper: struct mapped_device has no map of the size expected"},
		{"short state", func(t *testing.T, e *edited) { e.members(t, "btrfs_dev_replace", narrower("replace_state")) }, "struct btrfs_dev_replace has no replace_state"},
	} {
		for series, stored := range kernels(t) {
			t.Run(tt.name+" "+series, func(t *testing.T) {
				e := load(t, stored)
				tt.damage(t, e)
				w, err := find(e)
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Fatalf("%v, want %q", err, tt.want)
				}
				const drivers = 7
				failed := drivers - int(w.Mapper+w.Ready+w.Overlay+w.Btrfs+w.Ext4+w.Erofs+w.Xfs)
				if n := strings.Count(err.Error(), "find "); n != failed {
					t.Errorf("%d of %d drivers are not understood, and %d errors: %v", failed, drivers, n, err)
				}
			})
		}
	}
}

// TestOpeningUnknown: where nothing says how a volume was opened, it still has facts for a
// profile that does not ask.
func TestOpeningUnknown(t *testing.T) {
	for series, stored := range kernels(t) {
		for _, member := range []string{"mode", "validated_blocks"} {
			e := load(t, stored)
			e.members(t, "dm_verity", without(member))
			w, err := find(e)
			if err != nil || w.Ready != 1 || w.VerityMode != offsets.None && w.VerityValidated != offsets.None {
				t.Errorf("%s without %s: %+v, %v", series, member, w, err)
			}
		}
	}
}

// TestNotLoaded: a driver that is not there is no error, and no facts.
func TestNotLoaded(t *testing.T) {
	for series, stored := range kernels(t) {
		whole, err := find(stored)
		if err != nil {
			t.Fatal(err)
		}
		e := load(t, stored)
		e.modules = nil
		w, err := find(e)
		builtIn := offsets.Walk{Ext4: 1, Ext4Sb: whole.Ext4Sb, Ext4Journal: whole.Ext4Journal, JournalDevice: whole.JournalDevice}
		if err != nil || w != builtIn {
			t.Errorf("%s: %+v, %v", series, w, err)
		}
		w = offsets.Walk{}
		if err := w.FindVerity(stored, 0); err != nil || w.Ready != 0 {
			t.Errorf("%s: %+v without a device mapper, %v", series, w, err)
		}
	}
}
