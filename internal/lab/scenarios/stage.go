//go:build linux

package scenarios

import (
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// script is a program that, if it may be executed, ends in ENOENT, before the point
// of no return: it never replaces the process that tries it.
const script = "#!/no-such-interpreter\n"

// stage makes the files of every kind.
func (s *Session) stage() error {
	for _, step := range []func() error{s.mountVolumes, s.mountFiles, s.sealVolume, s.mountOverlays, s.openSubjects} {
		if err := step(); err != nil {
			return fmt.Errorf("stage: %w", err)
		}
	}
	return nil
}

func tool(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("run %s %s: %w: %s", name, args[0], err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}

func (s *Session) mountVolumes() error {
	// The kernel looks for the signature's key in the session's keyring.
	if _, err := unix.KeyctlInt(unix.KEYCTL_LINK, unix.KEY_SPEC_USER_KEYRING, unix.KEY_SPEC_SESSION_KEYRING, 0, 0); err != nil {
		return fmt.Errorf("link keyring: %w", err)
	}
	for _, name := range []string{"marker", "volume", "other"} {
		if err := openVolume(name, name, s.cfg.Roots[name]); err != nil {
			return err
		}
	}
	return openVolume("volume", "signed", s.cfg.Roots["volume"], "--root-hash-signature=/images/roothash.p7s")
}

// openVolume opens a copy of the image, so that one image can be open twice.
func openVolume(image, name, root string, extra ...string) error {
	data, err := os.ReadFile("/images/" + image + ".img")
	if err != nil {
		return err
	}
	if err := os.WriteFile("/images/"+name+".data", data, 0o600); err != nil {
		return err
	}
	args := []string{"open", "/images/" + name + ".data", name, "/images/" + image + ".hash", root}
	if _, err := tool("veritysetup", append(args, extra...)...); err != nil {
		return err
	}
	return mount("/dev/mapper/"+name, "/"+name, "-o", "ro")
}

func mount(source, at string, options ...string) error {
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	_, err := tool("mount", append(options, source, at)...)
	return err
}

// mountFiles mounts an ext4 with files under fs-verity, with and without signature.
func (s *Session) mountFiles() error {
	if err := mount("/images/files.img", "/files", "-o", "loop"); err != nil {
		return err
	}
	for _, name := range []string{"sealed", "resealed"} {
		if _, err := tool("fsverity", "enable", "/files/"+name); err != nil {
			return err
		}
	}
	if err := trustFileSignatures(); err != nil {
		return err
	}
	_, err := tool("fsverity", "enable", "/files/signed", "--signature=/images/digest.p7s")
	return err
}

// trustFileSignatures puts the platform key into the keyring of fs-verity.
func trustFileSignatures() error {
	cert, err := os.ReadFile("/images/cert.der")
	if err != nil {
		return err
	}
	keys, err := os.ReadFile("/proc/keys")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(keys)) {
		if !strings.Contains(line, " .fs-verity: ") {
			continue
		}
		var id int
		if _, err := fmt.Sscanf(line, "%x", &id); err != nil {
			return fmt.Errorf("read keyrings: %w", err)
		}
		_, err := unix.AddKey("asymmetric", "", cert, id)
		return err
	}
	return fmt.Errorf("read keyrings: no keyring .fs-verity")
}

// sealVolume makes a dm-verity volume of a file system that holds an fs-verity file:
// what has both facts. Its root hash differs from run to run, as the file system
// notes when it was mounted.
func (s *Session) sealVolume() error {
	data, err := os.ReadFile("/images/files.img")
	if err != nil {
		return err
	}
	if err := os.WriteFile("/images/both.img", data, 0o600); err != nil {
		return err
	}
	if err := mount("/images/both.img", "/both", "-o", "loop"); err != nil {
		return err
	}
	if _, err := tool("fsverity", "enable", "/both/sealed"); err != nil {
		return err
	}
	if err := unix.Unmount("/both", 0); err != nil {
		return fmt.Errorf("unmount /both: %w", err)
	}
	out, err := tool("veritysetup", "format", "/images/both.img", "/images/both.hash")
	if err != nil {
		return err
	}
	_, rest, _ := strings.Cut(out, "Root hash:")
	f := strings.Fields(rest)
	if len(f) == 0 {
		return fmt.Errorf("format volume: no root hash in %q", out)
	}
	s.cfg.Roots["both"] = f[0]
	s.masks.Replace(f[0], "BOTH")
	s.masks.Replace(strings.ToUpper(f[0]), "BOTH")
	return openVolume("both", "both", f[0])
}

// mountOverlays puts an overlay over each file system that gives facts, and one over
// an overlay.
func (s *Session) mountOverlays() error {
	if err := os.MkdirAll("/ramdisk", 0o755); err != nil {
		return err
	}
	if err := os.WriteFile("/ramdisk/probe", []byte(script), 0o755); err != nil {
		return err
	}
	for _, l := range []struct{ lower, at string }{
		{"/volume", "/overlay-volume"}, {"/files", "/overlay-files"}, {"/overlay-volume", "/overlay-overlay"},
		{"/ramdisk", "/overlay-ramdisk"}, {"/both", "/overlay-both"}, {"/signed", "/overlay-signed"},
	} {
		upper, work := "/tmp"+l.at+"/upper", "/tmp"+l.at+"/work"
		for _, d := range []string{l.at, upper, work} {
			if err := os.MkdirAll(d, 0o755); err != nil {
				return err
			}
		}
		options := "lowerdir=" + l.lower + ",upperdir=" + upper + ",workdir=" + work
		if err := unix.Mount("overlay", l.at, "overlay", 0, options); err != nil {
			return fmt.Errorf("mount overlay with %s: %w", options, err)
		}
	}
	return appendTo("/overlay-files/changed", "copied up\n")
}

func appendTo(name, text string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(text)
	return err
}
