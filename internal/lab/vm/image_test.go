//go:build !guest

package vm

import (
	"bytes"
	"testing"
)

func TestInitramfsIsReproducible(t *testing.T) {
	files := Files{"/b/c": {Data: []byte("12345")}, "/a": {Link: "b/c"}, "/bin/x": {Data: []byte("#"), Mode: 0o755}}
	var first bytes.Buffer
	for range 5 {
		var b bytes.Buffer
		if err := writeInitramfs(&b, files); err != nil {
			t.Fatal(err)
		}
		if first.Len() == 0 {
			first = b
		}
		if !bytes.Equal(first.Bytes(), b.Bytes()) {
			t.Fatal("two archives of the same files differ")
		}
	}
	if !bytes.Contains(first.Bytes(), []byte("usr/bin/x\x00")) {
		t.Error("a file below /bin is not below /usr/bin")
	}
}

func TestArchiveBytes(t *testing.T) {
	var b bytes.Buffer
	c := &cpioWriter{w: &b}
	if err := c.add(entry{name: "dir/f", mode: cpioRegular | 0o640, size: 5, body: bytes.NewReader([]byte("hello"))}); err != nil {
		t.Fatal(err)
	}
	if err := c.finish(); err != nil {
		t.Fatal(err)
	}
	const zero = "00000000"
	want := "070701" + "00000001" + "000081a0" + zero + zero + "00000001" + zero + "00000005" +
		zero + zero + zero + zero + "00000006" + zero + "dir/f\x00" + "hello\x00\x00\x00" +
		"070701" + "00000002" + zero + zero + zero + "00000001" + zero + zero +
		zero + zero + zero + zero + "0000000b" + zero + "TRAILER!!!\x00" + "\x00\x00\x00"
	if b.String() != want {
		t.Errorf("got  %q\nwant %q", b.String(), want)
	}
	short := entry{name: "f", mode: cpioRegular, size: 9, body: bytes.NewReader([]byte("hello"))}
	if err := c.add(short); err == nil {
		t.Error("a body shorter than its size was archived")
	}
}

func TestGuestPath(t *testing.T) {
	for in, want := range map[string]string{
		"/init": "init", "/bin/sh": "usr/bin/sh", "/lib64/ld.so": "usr/lib64/ld.so", "/usr/bin/sh": "usr/bin/sh", "/binary/x": "binary/x",
	} {
		if got, err := guestPath(in); err != nil || got != want {
			t.Errorf("%s: %q, %v", in, got, err)
		}
	}
	for _, bad := range []string{"", "/", "init", "../x"} {
		if got, err := guestPath(bad); err == nil {
			t.Errorf("%q was placed at %q", bad, got)
		}
	}
}
