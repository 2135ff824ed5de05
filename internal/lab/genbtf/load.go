package main

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"

	"github.com/cilium/ebpf/btf"

	"github.com/ipe-linux/ipe/internal/lab/vm/debian"
)

// drivers are the modules that facts come from.
func drivers() []string {
	return []string{"dm_mod", "dm_verity", "overlay", "btrfs", "ext4", "erofs", "xfs"}
}

// load reads the types of a kernel and of its drivers from the unpacked package.
func load(ctx context.Context, k debian.Kernel) (*whole, error) {
	image, err := os.ReadFile(k.Image())
	if err != nil {
		return nil, err
	}
	vmlinux, err := unpack(ctx, image)
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", k.Image(), err)
	}
	w := &whole{modules: map[string]*btf.Spec{}}
	if w.kernel, err = typesOf(vmlinux, nil); err != nil {
		return nil, fmt.Errorf("read BTF of the kernel: %w", err)
	}
	for _, name := range drivers() {
		module, err := k.Module(ctx, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // built in
		}
		if err != nil {
			return nil, err
		}
		if w.modules[name], err = typesOf(module, w.kernel); err != nil {
			return nil, fmt.Errorf("read BTF of %s: %w", name, err)
		}
	}
	return w, nil
}

// typesOf reads the types of a kernel, or those that a module has beyond its kernel's.
func typesOf(file []byte, kernel *btf.Spec) (*btf.Spec, error) {
	f, err := elf.NewFile(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	section := f.Section(".BTF")
	if section == nil {
		return nil, errors.New("no section .BTF")
	}
	raw, err := section.Data()
	if err != nil {
		return nil, err
	}
	return btf.LoadSplitSpecFromReader(bytes.NewReader(raw), kernel)
}

// Members of the header of an x86 image, and the version that has them all (Documentation/arch/x86/boot.rst).
const (
	setupSectors  = 0x1f1
	headerMagic   = 0x202
	bootProtocol  = 0x206
	payloadOffset = 0x248
	payloadLength = 0x24c
	headerEnd     = 0x250
	minProtocol   = 0x208
	sectorSize    = 512
	defaultSetup  = 4 // where the member is 0
)

// unpack finds the kernel proper in a bootable image.
func unpack(ctx context.Context, image []byte) ([]byte, error) {
	if len(image) < headerEnd || string(image[headerMagic:][:4]) != "HdrS" || binary.LittleEndian.Uint16(image[bootProtocol:]) < minProtocol {
		return nil, errors.New("it is no x86 image that says where its payload is")
	}
	setup := int(image[setupSectors])
	if setup == 0 {
		setup = defaultSetup
	}
	start := (setup+1)*sectorSize + int(binary.LittleEndian.Uint32(image[payloadOffset:]))
	end := start + int(binary.LittleEndian.Uint32(image[payloadLength:]))
	if start > end || end > len(image) {
		return nil, errors.New("its payload is outside of it")
	}
	return decompress(ctx, image[start:end])
}

// decompress has the program for the payload's format decompress it. But for gzip, the
// kernel's build appends the size, which no program expects.
func decompress(ctx context.Context, payload []byte) ([]byte, error) {
	const sizeLen = 4
	var cmd *exec.Cmd
	switch {
	case bytes.HasPrefix(payload, []byte(lz4Magic)):
		return unlz4(payload[:len(payload)-sizeLen])
	case bytes.HasPrefix(payload, []byte("\xfd7zXZ\x00")):
		cmd, payload = exec.CommandContext(ctx, "xz", "-dc"), payload[:len(payload)-sizeLen]
	case bytes.HasPrefix(payload, []byte("\x28\xb5\x2f\xfd")):
		cmd, payload = exec.CommandContext(ctx, "zstd", "-dc"), payload[:len(payload)-sizeLen]
	case bytes.HasPrefix(payload, []byte("\x1f\x8b")):
		cmd = exec.CommandContext(ctx, "gzip", "-dc")
	default:
		return nil, fmt.Errorf("no program for a payload that begins %x", payload[:min(len(payload), sizeLen)])
	}
	var out, problem bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(payload), &out, &problem
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", cmd.Args[0], err, bytes.TrimSpace(problem.Bytes()))
	}
	return out.Bytes(), nil
}
