//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/ipe-linux/ipe/internal/lab/vm"
)

// images are the file systems and signatures that all guests share, made once by
// the reference tools.
type images struct {
	dir   string
	roots map[string]string
	// names are the files of dir that belong into a guest.
	names []string
}

// script is what lies in every file that is tried: if it may be executed, that ends
// in ENOENT.
const script = "#!/no-such-interpreter\n# "

func makeImages(ctx context.Context, dir string) (*images, error) {
	im := &images{dir: dir, roots: map[string]string{}}
	for _, name := range []string{"marker", "volume", "other"} {
		if err := im.volume(ctx, name); err != nil {
			return nil, fmt.Errorf("make volume %s: %w", name, err)
		}
	}
	if err := im.fileSystem(ctx); err != nil {
		return nil, fmt.Errorf("make file system: %w", err)
	}
	if err := im.signatures(ctx); err != nil {
		return nil, fmt.Errorf("make signatures: %w", err)
	}
	return im, nil
}

// volume is a squashfs with the hash tree of dm-verity in a file of its own.
func (im *images) volume(ctx context.Context, name string) error {
	tree := im.path(name)
	if err := writeFile(filepath.Join(tree, "probe"), script+name+"\n"); err != nil {
		return err
	}
	if name == "volume" {
		if err := copyProgram("true", filepath.Join(tree, "true")); err != nil {
			return err
		}
	}
	img, hash := im.path(name+".img"), im.path(name+".hash")
	if _, err := hostTool(ctx, "mksquashfs", tree, img, "-quiet", "-no-progress", "-all-root"); err != nil {
		return err
	}
	out, err := hostTool(ctx, "veritysetup", "format", img, hash)
	if err != nil {
		return err
	}
	for line := range strings.Lines(out) {
		if digits, ok := strings.CutPrefix(line, "Root hash:"); ok {
			im.roots[name] = strings.TrimSpace(digits)
			im.names = append(im.names, name+".img", name+".hash")
			return nil
		}
	}
	return fmt.Errorf("veritysetup printed no root hash")
}

// fileSystem is an ext4 that can hold fs-verity files.
func (im *images) fileSystem(ctx context.Context) error {
	tree := im.path("files")
	for _, name := range []string{"plain", "sealed", "resealed", "changed", "signed"} {
		if err := writeFile(filepath.Join(tree, name), script+name+"\n"); err != nil {
			return err
		}
	}
	img := im.path("files.img")
	if _, err := hostTool(ctx, "truncate", "-s", "16M", img); err != nil {
		return err
	}
	im.names = append(im.names, "files.img")
	_, err := hostTool(ctx, "mke2fs", "-q", "-t", "ext4", "-b", "4096", "-O", "verity", "-d", tree, img)
	return err
}

// signatures signs, with the public test key that the guest's firmware vouches for,
// the root hash and the digest of one file.
func (im *images) signatures(ctx context.Context) error {
	cert, key, err := vm.PlatformKey(ctx, im.dir)
	if err != nil {
		return err
	}
	pem, err := os.ReadFile(cert)
	if err != nil {
		return err
	}
	if err := writeFile(im.path("platform.pem"), string(pem)); err != nil {
		return err
	}
	hash := im.path("roothash.txt")
	if err := writeFile(hash, im.roots["volume"]); err != nil {
		return err
	}
	im.names = append(im.names, "platform.pem", "platform.key", "roothash.p7s", "digest.p7s", "cert.der")
	for _, command := range [][]string{
		{"openssl", "smime", "-sign", "-nocerts", "-noattr", "-binary", "-in", hash,
			"-inkey", key, "-signer", cert, "-outform", "der", "-out", im.path("roothash.p7s")},
		{"fsverity", "sign", im.path("files/signed"), im.path("digest.p7s"), "--key=" + key, "--cert=" + cert},
		{"openssl", "x509", "-in", cert, "-outform", "der", "-out", im.path("cert.der")},
	} {
		if _, err := hostTool(ctx, command[0], command[1:]...); err != nil {
			return err
		}
	}
	return im.messages(ctx, cert, key)
}

// messages are policies that were signed otherwise than they should.
func (im *images) messages(ctx context.Context, cert, key string) error {
	strangerKey, strangerCert := im.path("stranger.key"), im.path("stranger.pem")
	_, err := hostTool(ctx, "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=stranger", "-keyout", strangerKey, "-out", strangerCert)
	if err != nil {
		return err
	}
	for name, args := range map[string][]string{
		"stranger":    {"-signer", strangerCert, "-inkey", strangerKey, "-noattr", "-nodetach"},
		"detached":    {"-signer", cert, "-inkey", key, "-noattr"},
		"attributes":  {"-signer", cert, "-inkey", key, "-nosmimecap", "-nodetach"},
		"smime":       {"-signer", cert, "-inkey", key, "-nodetach"},
		"two-signers": {"-signer", cert, "-inkey", key, "-signer", strangerCert, "-inkey", strangerKey, "-noattr", "-nodetach"},
	} {
		text, out := im.path(name+".pol"), im.path(name+".p7b")
		if err := writeFile(text, "policy_name="+name+" policy_version=1.0.0\nDEFAULT action=ALLOW\n"); err != nil {
			return err
		}
		if _, err := hostTool(ctx, "openssl", append([]string{"smime", "-sign", "-binary", "-in", text, "-outform", "der", "-out", out}, args...)...); err != nil {
			return err
		}
		im.names = append(im.names, name+".p7b")
	}
	return nil
}

func (im *images) path(name string) string { return filepath.Join(im.dir, name) }

// files gives the images and the tools that open them to a guest.
func (im *images) files() (vm.Files, error) {
	files, err := vm.HostBinary("veritysetup", "fsverity", "mount", "true")
	if err != nil {
		return nil, err
	}
	for _, name := range im.names {
		files["/images/"+name] = vm.File{Host: im.path(name)}
	}
	return files, nil
}

// copyProgram copies a program of the host, which needs a loader and a library.
func copyProgram(name, to string) error {
	from, err := exec.LookPath(name)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return writeFile(to, string(data))
}

func writeFile(path, content string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(content), 0o755)
}

// hostTool runs a tool of the host, also one of administrators.
func hostTool(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	if path, err := exec.LookPath("/usr/sbin/" + name); err == nil {
		cmd.Path, cmd.Err = path, nil
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("run %s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}
