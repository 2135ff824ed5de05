//go:build linux

package scenarios

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// loads are what the kernel reads or takes for itself, with things that it could use:
// a module of its own, its own image.
func loads(s *Session) error {
	root := "dmverity_roothash=sha256:" + s.cfg.Roots["volume"]
	for _, p := range []struct {
		name       string
		statements []string
	}{
		{"all allowed", []string{"DEFAULT action=ALLOW"}},
		{"all denied", []string{"DEFAULT action=DENY"}},
		{"by file", []string{"DEFAULT action=DENY", "op=KMODULE boot_verified=TRUE action=ALLOW", "op=KEXEC_IMAGE boot_verified=TRUE action=ALLOW", "op=POLICY " + root + " action=ALLOW"}},
		{"not by file", []string{"DEFAULT action=ALLOW", "op=KMODULE boot_verified=TRUE action=DENY", "op=KEXEC_INITRAMFS boot_verified=TRUE action=DENY"}},
		{"without file", []string{"DEFAULT action=ALLOW", "op=KMODULE boot_verified=FALSE action=DENY", "op=KEXEC_IMAGE dmverity_signature=FALSE action=DENY"}},
		{"others denied", []string{"DEFAULT action=ALLOW", "DEFAULT op=FIRMWARE action=DENY", "DEFAULT op=X509_CERT action=DENY", "DEFAULT op=EXECUTE action=DENY"}},
	} {
		for _, enforce := range []bool{true, false} {
			if err := s.mode(enforce, true); err != nil {
				return err
			}
			name := p.name
			if !enforce {
				name += ", permissive"
			}
			if err := s.switchTo(name, p.statements...); err != nil {
				return err
			}
			for _, a := range loadActs() {
				if err := s.observe(name+", "+a.name, func() error { return a.try(nil) }); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// Files of the initramfs that the kernel can use.
const (
	moduleFile     = "/images/module.ko"
	compressedFile = "/images/module.ko.xz"
	kernelFile     = "/images/vmlinuz"
)

func loadActs() []act {
	return []act{
		{"module", func(*subject) error { return loadModule(moduleFile, 0) }},
		{"module, compressed", func(*subject) error { return loadModule(compressedFile, unix.MODULE_INIT_COMPRESSED_FILE) }},
		{"module from memory", func(*subject) error { return loadFromMemory(moduleFile) }},
		{"empty module", func(*subject) error { return loadModule("/images/empty", 0) }},
		{"busy module", func(*subject) error { return loadBusy() }},
		{"module of a directory", func(*subject) error { return loadModule("/images", 0) }},
		{"kexec without initramfs", func(*subject) error { return loadKernel(kernelFile, "") }},
		{"kexec with initramfs", func(*subject) error { return loadKernel(kernelFile, "/volume/probe") }},
		{"kexec with initramfs of the initramfs", func(*subject) error { return loadKernel(kernelFile, moduleFile) }},
		{"IMA policy of the volume", func(*subject) error { return (&subject{path: "/volume/probe"}).imaPolicy() }},
		{"IMA policy that is absent", func(*subject) error { return (&subject{path: "/volume/absent"}).imaPolicy() }},
		{"IMA policy as text", func(*subject) error { return imaText("nonsense\n") }},
		{"zram dictionary", func(*subject) error { return dictionary("/volume/probe") }},
	}
}

// loadModule loads and unloads a module.
func loadModule(file string, flags int) error {
	fd, err := unix.Open(file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.FinitModule(fd, "", flags); err != nil {
		return err
	}
	return unloadModule()
}

func unloadModule() error {
	if err := unix.DeleteModule("dummy", 0); err != nil {
		return fmt.Errorf("unload: %w", err)
	}
	return nil
}

func loadFromMemory(file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	if err := unix.InitModule(data, ""); err != nil {
		return err
	}
	return unloadModule()
}

// loadBusy has somebody write to the module.
func loadBusy() error {
	fd, err := unix.Open("/tmp/busy", unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	defer unix.Close(fd)
	if err := writeOnce(fd, "x"); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	return loadModule("/tmp/busy", 0)
}

// loadKernel loads and unloads a kernel for kexec.
func loadKernel(kernel, initramfs string) error {
	k, err := unix.Open(kernel, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	defer unix.Close(k)
	initrd, flags := -1, unix.KEXEC_FILE_NO_INITRAMFS
	if initramfs != "" {
		if initrd, err = unix.Open(initramfs, unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
		defer unix.Close(initrd)
		flags = 0
	}
	empty := []byte{0}
	if err := call(unix.SYS_KEXEC_FILE_LOAD, uintptr(k), uintptr(initrd), 1, uintptr(unsafe.Pointer(&empty[0])), uintptr(flags)); err != nil {
		return err
	}
	if err := call(unix.SYS_KEXEC_FILE_LOAD, 0, 0, 0, 0, unix.KEXEC_FILE_UNLOAD); err != nil {
		return fmt.Errorf("unload: %w", err)
	}
	return nil
}

// imaText writes a policy itself to the node of IMA, which reads no file then.
func imaText(text string) error {
	fd, err := unix.Open("/sys/kernel/security/ima/policy", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(text))
	return err
}

// dictionary has zram read one, which kernels from 6.12 on do as a policy.
func dictionary(file string) error {
	fd, err := unix.Open("/sys/block/zram0/algorithm_params", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	defer unix.Close(fd)
	return writeOnce(fd, "dict="+file)
}
