package debian

import "testing"

func TestImageOf(t *testing.T) {
	needs := exactDepends("Package: m\nDepends: a (>= 1), linux-base-x (= 2), linux-image-6.1.0-9-cloud-amd64 (= 6.1.2-3~x)\nSize: 1\n")
	image, err := imageOf(needs)
	if err != nil || image != (dependency{"linux-image-6.1.0-9-cloud-amd64", "6.1.2-3~x"}) || len(needs) != 2 {
		t.Errorf("%v of %v, %v", image, needs, err)
	}
	for _, bad := range []string{"", "Depends: linux-image-x\n", "Depends: linux-image-x (>= 2)\n", "Depends: other (= 2)\n", "Depends: linux-base-x (= 2)\n"} {
		if image, err := imageOf(exactDepends(bad)); err == nil {
			t.Errorf("%q: %v", bad, image)
		}
	}
}

func TestParseMirror(t *testing.T) {
	const list = "http://m/debian-security/ bookworm-security\nhttp://m/debian/ bookworm\n"
	got, err := parseMirror(list, "ID=debian\nVERSION_CODENAME=bookworm\n")
	if err != nil || got != "http://m/debian/" {
		t.Errorf("%q, %v", got, err)
	}
	for _, release := range []string{"", "VERSION_CODENAME=\n", "VERSION_CODENAME=trixie\n"} {
		if got, err := parseMirror(list, release); err == nil {
			t.Errorf("%q: %q", release, got)
		}
	}
}

func TestModuleName(t *testing.T) {
	for in, want := range map[string]string{
		"dm-mod": "dm_mod", "kernel/drivers/md/dm-verity.ko.xz": "dm_verity", "fs/squashfs/squashfs.ko": "squashfs",
	} {
		if got := ModuleName(in); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
}
