//go:build linux

package appliance

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Volume is a squashfs image with its dm-verity hash tree behind it.
type Volume struct {
	// Path is the image on the host.
	Path string
	// Root is the root hash in hex.
	Root string
	// HashOffset is where the hash tree begins, in bytes.
	HashOffset int64
}

// hashBlock is the block size of dm-verity; the hash tree begins on a multiple.
const hashBlock = 4096

func (a *Appliance) buildVolumes(ctx context.Context, packages string) error {
	good, bad := filepath.Join(a.Dir, "service"), filepath.Join(a.Dir, "remade")
	for _, dir := range []string{good, bad} {
		if err := buildTree(packages, dir); err != nil {
			return err
		}
	}
	// The other nft works as well as the first; it is one byte longer.
	if err := appendByte(filepath.Join(bad, nftPath)); err != nil {
		return err
	}
	var err error
	if a.Service, err = seal(ctx, good, 0); err != nil {
		return err
	}
	// Both volumes are of one size, so that one offset serves for both.
	if a.Remade, err = seal(ctx, bad, a.Service.HashOffset); err != nil {
		return err
	}
	a.Damaged = a.Service
	a.Damaged.Path = filepath.Join(a.Dir, "damaged.img")
	return damage(a.Service.Path, a.Damaged.Path, filepath.Join(good, nftPath))
}

// seal makes an image of a directory. Nothing is compressed, so that a file's
// blocks can be found in it. The hash tree begins at offset, or right after the
// data when that is 0.
func seal(ctx context.Context, tree string, offset int64) (Volume, error) {
	img := tree + ".img"
	_, err := run(ctx, "", "mksquashfs", tree, img, "-quiet", "-no-progress", "-noappend", "-all-root",
		"-noI", "-noD", "-noF", "-noX", "-no-fragments")
	if err != nil {
		return Volume{}, err
	}
	st, err := os.Stat(img)
	if err != nil {
		return Volume{}, err
	}
	offset = max(offset, (st.Size()+hashBlock-1)/hashBlock*hashBlock)
	if err := os.Truncate(img, offset); err != nil {
		return Volume{}, err
	}
	out, err := run(ctx, "", "veritysetup", "format", img, img,
		"--hash-offset="+strconv.FormatInt(offset, 10), "--data-blocks="+strconv.FormatInt(offset/hashBlock, 10))
	if err != nil {
		return Volume{}, err
	}
	for line := range strings.Lines(out) {
		if digits, ok := strings.CutPrefix(line, "Root hash:"); ok {
			return Volume{Path: img, Root: strings.TrimSpace(digits), HashOffset: offset}, nil
		}
	}
	return Volume{}, fmt.Errorf("seal %s: veritysetup printed no root hash", tree)
}

// damage copies an image and flips one bit in the first block of a file's data.
func damage(src, dst, file string) error {
	img, err := os.ReadFile(src)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	at := bytes.Index(img, content[:min(len(content), hashBlock)])
	if at < 0 {
		return fmt.Errorf("damage %s: the image does not hold it in one piece", file)
	}
	img[at+100] ^= 1
	return os.WriteFile(dst, img, 0o644)
}

func appendByte(name string) error {
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write([]byte{0}); err != nil {
		return err
	}
	return f.Close()
}
