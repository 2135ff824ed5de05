package preflight

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestRootShells(t *testing.T) {
	text := "root:x:0:0:root:/root:/bin/bash\ntoor:x:0:0::/root:/bin/zsh\nbad line\n" +
		"nobody:x:65534:0::/:/bin/false\nempty:x:0:0::/:\nrelative:x:0:0::/:sh\nmore:x:0:0::/:/bin/x:y\n"
	if diff := cmp.Diff([]string{"/bin/bash", "/bin/zsh"}, rootShells(strings.NewReader(text))); diff != "" {
		t.Error(diff)
	}
	if n := len(rootShells(strings.NewReader(strings.Repeat("root:x:0:0:root:/root:/bin/bash\n", 100)))); n != maxShells {
		t.Errorf("%d shells", n)
	}
}

func TestScriptInterpreter(t *testing.T) {
	for text, want := range map[string]string{
		"#!/bin/sh\necho": "/bin/sh", "#! /usr/bin/env -S x\n": "/usr/bin/env", "#!/bin/sh": "/bin/sh",
		"#!\n/bin/sh": "", "#!sh\n": "", "no": "", "": "", "\x7fELF": "",
	} {
		if got, ok := scriptInterpreter(strings.NewReader(text)); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", text, got, ok)
		}
	}
}

// TestOpenAll: a program brings what it names, each once for each role, and from the
// first place that has it for the same machine.
func TestOpenAll(t *testing.T) {
	bash, err := filepath.EvalSymlinks("/bin/bash")
	if err != nil {
		t.Fatal(err)
	}
	o := openAll([]program{at(bash, roleShell), at(bash, roleShell), at("/", roleShell), within([]string{"/no", filepath.Dir(bash)}, filepath.Base(bash), roleLogin)})
	defer o.close()
	count := map[string]int{}
	for _, p := range o.all {
		count[p.role+" "+filepath.Base(p.path)]++
	}
	for _, name := range []string{"bash", "libc.so.6"} {
		for _, role := range []string{roleShell, roleLogin} {
			if n := count[role+" "+name]; n != 1 {
				t.Errorf("%s for %s: %d times, want once: %v", name, role, n, count)
			}
		}
	}
	linker := 0
	for name, n := range count {
		if strings.HasPrefix(name, roleShell+" ld-linux") {
			linker += n
		}
	}
	if linker < 1 { // the C library may name it once more, elsewhere
		t.Errorf("no dynamic linker: %v", count)
	}
}

// TestOtherMachine: a library for another machine is not what the linker takes.
func TestOtherMachine(t *testing.T) {
	dir := t.TempDir()
	first, second := filepath.Join(dir, "1"), filepath.Join(dir, "2")
	header := func(class byte) []byte { return append([]byte{0x7f, 'E', 'L', 'F', class, 1}, make([]byte, 14)...) }
	for path, data := range map[string][]byte{first: header(1), second: header(2)} {
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := program{places: []string{first, second}, machine: machineOf(bytes.NewReader(header(2)))}
	p := openFirst(want, map[string]bool{})
	if p.f == nil || p.path != second {
		t.Fatalf("opened %+v", p)
	}
	p.f.Close()
}

// TestOpenRegular: nothing but a regular file is opened, and nobody waits.
func TestOpenRegular(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{fifo, "/", "/dev/null", fifo + ".no"} {
		if f := openRegular(path); f != nil {
			f.Close()
			t.Errorf("%s was opened", path)
		}
	}
	if !slow(unix.FUSE_SUPER_MAGIC) || slow(unix.EXT4_SUPER_MAGIC) {
		t.Error("FUSE is slow, ext4 is not")
	}
}

// FuzzNamed: programs lie on disk, whatever they hold.
func FuzzNamed(f *testing.F) {
	bash, err := os.Open("/bin/sh")
	if err != nil {
		f.Fatal(err)
	}
	head, err := io.ReadAll(io.LimitReader(bash, 4096))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(head)
	f.Add([]byte("#!/bin/sh\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		all := named(bytes.NewReader(data), roleShell, []string{"/lib"})
		if len(all) > maxLibraries+1 {
			t.Errorf("%d needs", len(all))
		}
		for _, p := range all {
			if p.role != roleShell || len(p.places) == 0 {
				t.Errorf("%+v", p)
			}
		}
	})
}

// FuzzRootShells: the shell of an account with root's number is found behind those of
// others, and no other is.
func FuzzRootShells(f *testing.F) {
	f.Add("bin:x:2:2:bin:/bin:/usr/sbin/nologin", "/bin/sh")
	f.Add("a:x:0:0::/:/b", "/\xff")
	f.Fuzz(func(t *testing.T, before, shell string) {
		if shell = "/" + shell; strings.ContainsAny(shell, ":\r\n") || len(before)+len(shell) > 1<<12 {
			return
		}
		first := rootShells(strings.NewReader(before + "\n"))
		got := rootShells(strings.NewReader(before + "\nroot:x:0:0:root:/root:" + shell + "\nuser:x:1:0::/:" + shell + "\n"))
		want := append(first, shell)
		if got, want := strings.Join(got, "\n"), strings.Join(want[:min(len(want), maxShells)], "\n"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	})
}
