//go:build !guest

package bpf_test

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ipe-linux/ipe/internal/lab/vm"
	"github.com/ipe-linux/ipe/internal/lab/vm/debian"
	"github.com/ipe-linux/ipe/internal/lab/vmtest"
)

func TestVMEngineOnKernels(t *testing.T) {
	t.Parallel()
	images := makeImages(t)
	btrfs := unpacked(t, debian.BtrfsTools())
	for _, k := range vmtest.Kernels(t) {
		t.Run(k.Name, func(t *testing.T) {
			t.Parallel()
			files := images.files(t)
			files.Add(vmtest.HostBinary(t, "losetup", "mke2fs", "dmsetup", filepath.Join(btrfs, "sbin", "mkfs.btrfs"), filepath.Join(btrfs, "bin", "btrfs"), filepath.Join(btrfs, "bin", "btrfstune")))
			addVolumes(t, files)
			vmtest.RunPackage(t, vm.Config{
				Kernel:  k,
				Modules: []string{"dm-verity", "loop", "squashfs", "overlay", "btrfs", "erofs", "xfs", "fuse"},
				Files:   files,
				// Newer ones take root-hash signatures from the key that the firmware vouches
				// for; 6.1 only from one that the machine's owner has enrolled.
				UEFI: k.Name != "6.1",
				MOK:  k.Name == "6.1",
				Env:  []string{"ROOT_HASH=" + images.root, "OTHER_HASH=" + images.other, "KERNEL_NAME=" + k.Name, "BTRFS_PROGS=" + btrfs},
				// Every start has to switch it on.
				Append: []string{"sysctl.kernel.ftrace_enabled=0"},
				// The newest takes seven on a machine that has nothing else to do.
				Timeout: 30 * time.Minute,
			}, "-test.run=^TestEngine")
		})
	}
}

// TestVMReadsOnKernels boots without firmware: secure boot has IMA refuse what is not
// signed, before or after us.
func TestVMReadsOnKernels(t *testing.T) {
	t.Parallel()
	images := makeImages(t)
	for _, k := range vmtest.Kernels(t) {
		t.Run(k.Name, func(t *testing.T) {
			t.Parallel()
			files := images.files(t)
			files["/images/vmlinuz"] = vm.File{Host: k.Image()}
			files["/images/ask.ko"] = vm.File{Host: askModule(t)}
			vmtest.RunPackage(t, vm.Config{
				Kernel:  k,
				Modules: []string{"dm-verity", "loop", "squashfs", "overlay"},
				Files:   files,
				Env:     []string{"ROOT_HASH=" + images.root, "OTHER_HASH=" + images.other},
				Timeout: 10 * time.Minute,
			}, "-test.run=^TestReads")
		})
	}
}

// askModule compiles testdata/ask, for any kernel.
func askModule(t *testing.T) string {
	t.Helper()
	object := filepath.Join(t.TempDir(), "ask.ko")
	cmd := exec.CommandContext(t.Context(), "clang-16", "--target=x86_64-linux-gnu", "-c", "-O2", "-Wall", "-Werror",
		"-ffreestanding", "-fno-pic", "-mcmodel=kernel", "-mno-red-zone", "-mgeneral-regs-only", "-fno-stack-protector",
		"-fno-asynchronous-unwind-tables", "-o", object, filepath.Join("testdata", "ask", "ask.c"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("compile ask.c: %v\n%s", err, out)
	}
	return object
}

func TestVMPathsOnKernels(t *testing.T) {
	t.Parallel()
	for _, k := range vmtest.Kernels(t) {
		t.Run(k.Name, func(t *testing.T) {
			t.Parallel()
			vmtest.RunPackage(t, vm.Config{Kernel: k}, "-test.run=^TestPaths")
		})
	}
}

// TestVMPeerOnKernel puts random policies to the own IPE of each kernel that has it, and
// to ours. More of them: IPE_PEER_POLICIES=3000 go test -run TestVMPeerOnKernel -timeout 1h .
func TestVMPeerOnKernel(t *testing.T) {
	t.Parallel()
	images := makeImages(t)
	files := images.files(t)
	for _, name := range []string{"platform.pem", "platform.key"} {
		files["/images/"+name] = vm.File{Host: filepath.Join(images.dir, name)}
	}
	n := cmp.Or(os.Getenv("IPE_PEER_POLICIES"), "100")
	seed := cmp.Or(os.Getenv("IPE_PEER_SEED"), strconv.FormatInt(time.Now().UnixNano(), 10))
	for _, k := range vmtest.Kernels(t)[1:] {
		t.Run(k.Name, func(t *testing.T) {
			t.Parallel()
			vmtest.RunPackage(t, vm.Config{
				Kernel:  k,
				UEFI:    true,
				Modules: []string{"dm-verity", "loop", "squashfs", "overlay"},
				Files:   files,
				Timeout: time.Hour,
				Env: []string{
					"ROOT_HASH=" + images.root, "OTHER_HASH=" + images.other, "KERNEL_NAME=" + k.Name,
					"PEER_POLICIES=" + n, "PEER_SEED=" + seed,
				},
			}, "-test.run=^TestPeer")
		})
	}
}

func TestVMRefusesKernelThatWouldNotCallIt(t *testing.T) {
	t.Parallel()
	vmtest.RunPackage(t, vm.Config{
		Kernel: vmtest.Kernel(t, "6.1"),
		Append: []string{"lsm=capability,yama"},
	}, "-test.run=^TestRefused")
}

// images are made once on the host by the reference tools.
type images struct {
	dir         string
	root, other string
}

func makeImages(t testing.TB) images {
	t.Helper()
	dir := t.TempDir()
	im := images{dir: dir}
	im.root = volume(t, dir, "volume", "one")
	im.other = volume(t, dir, "other", "two")
	fileSystem(t, dir)
	signatures(t, dir, im.root)
	return im
}

// files gives the images and the tools that open them to a guest.
func (im images) files(t testing.TB) vm.Files {
	t.Helper()
	files, err := vm.HostBinary("veritysetup", "fsverity", "mount")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"volume.img", "volume.hash", "other.img", "other.hash", "files.img", "roothash.p7s", "digest.p7s", "cert.der"} {
		files["/images/"+name] = vm.File{Host: filepath.Join(im.dir, name)}
	}
	return files
}

// script is a program that, if it may be executed, ends in ENOENT.
const script = "#!/no-such-interpreter\n# "

func volume(t testing.TB, dir, name, content string) (rootHash string) {
	t.Helper()
	tree := filepath.Join(dir, name)
	write(t, filepath.Join(tree, "probe"), script+content+"\n")
	img, hash := filepath.Join(dir, name+".img"), filepath.Join(dir, name+".hash")
	run(t, "mksquashfs", tree, img, "-quiet", "-no-progress", "-all-root")
	return formatVolume(t, img, hash)
}

func formatVolume(t testing.TB, img, hash string) (rootHash string) {
	t.Helper()
	for line := range strings.Lines(run(t, "veritysetup", "format", img, hash)) {
		if digits, ok := strings.CutPrefix(line, "Root hash:"); ok {
			return strings.TrimSpace(digits)
		}
	}
	t.Fatal("veritysetup printed no root hash")
	return ""
}

// fileSystem is an ext4 that can hold fs-verity files.
func fileSystem(t testing.TB, dir string) {
	t.Helper()
	tree := filepath.Join(dir, "files")
	for _, name := range []string{"plain", "sealed", "changed", "signed"} {
		write(t, filepath.Join(tree, name), script+name+"\n")
	}
	img := filepath.Join(dir, "files.img")
	run(t, "truncate", "-s", "16M", img)
	run(t, "mke2fs", "-q", "-t", "ext4", "-b", "4096", "-O", "verity", "-d", tree, img)
}

// signatures signs, with the public test key that the guest's firmware vouches
// for, the root hash and the digest of one file.
func signatures(t testing.TB, dir, root string) {
	t.Helper()
	cert, key, err := vm.PlatformKey(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "platform.pem"), string(pem))
	hash := filepath.Join(dir, "roothash.txt")
	write(t, hash, root)
	run(t, "openssl", "smime", "-sign", "-nocerts", "-noattr", "-binary", "-in", hash,
		"-inkey", key, "-signer", cert, "-outform", "der", "-out", filepath.Join(dir, "roothash.p7s"))
	run(t, "fsverity", "sign", filepath.Join(dir, "files", "signed"), filepath.Join(dir, "digest.p7s"), "--key="+key, "--cert="+cert)
	run(t, "openssl", "x509", "-in", cert, "-outform", "der", "-out", filepath.Join(dir, "cert.der"))
}

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
}

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	if path, err := exec.LookPath("/usr/sbin/" + name); err == nil {
		cmd.Path, cmd.Err = path, nil
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
