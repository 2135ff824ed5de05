//go:build linux

package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/eval"
)

// evidence gathers the facts about a file; those of memory, "", are none.
func evidence(ctx context.Context, file string) (ev eval.Evidence, err error) {
	if file == "" {
		return ev, nil
	}
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, file, 0, unix.STATX_BASIC_STATS, &st); err != nil {
		return ev, fmt.Errorf("gather evidence on %s: %w", file, err)
	}
	dev := fmt.Sprintf("%d:%d", st.Dev_major, st.Dev_minor)
	if ev.BootVerified, err = fromInitramfs(dev); err != nil {
		return ev, err
	}
	if st.Attributes&unix.STATX_ATTR_VERITY != 0 {
		if ev.FileDigest, err = fileDigest(ctx, file); err != nil {
			return ev, err
		}
	}
	ev.RootHash, ev.RootHashSigned, err = rootHash(ctx, dev)
	return ev, err
}

// fromInitramfs looks the device up in the list of mounts.
func fromInitramfs(dev string) (bool, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return false, fmt.Errorf("list mounts: %w", err)
	}
	for line := range strings.Lines(string(mounts)) {
		left, right, _ := strings.Cut(line, " - ")
		f := strings.Fields(left)
		if len(f) > 2 && f[2] == dev && strings.HasPrefix(right, "rootfs ") {
			return true, nil
		}
	}
	return false, nil
}

func fileDigest(ctx context.Context, file string) (digest.Digest, error) {
	out, err := tool(ctx, "fsverity", "measure", file)
	if err != nil {
		return digest.Digest{}, err
	}
	text, _, _ := strings.Cut(out, " ")
	return digest.Parse(text)
}

// rootHash asks the device mapper, through veritysetup, what it verifies.
func rootHash(ctx context.Context, dev string) (root digest.Digest, signed bool, err error) {
	name, err := os.ReadFile("/sys/dev/block/" + dev + "/dm/name")
	if errors.Is(err, os.ErrNotExist) {
		return root, false, nil
	}
	if err != nil {
		return root, false, fmt.Errorf("find volume: %w", err)
	}
	out, err := tool(ctx, "veritysetup", "status", strings.TrimSpace(string(name)))
	if err != nil {
		return root, false, err
	}
	return parseStatus(out)
}

// parseStatus reads what veritysetup status prints.
func parseStatus(out string) (root digest.Digest, signed bool, err error) {
	var alg, sum string
	for line := range strings.Lines(out) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		value = strings.TrimSpace(value)
		switch key {
		case "status":
			signed = strings.Contains(value, "with signature")
		case "hash name":
			alg = value
		case "root hash":
			sum = value
		}
	}
	raw, err := hex.DecodeString(sum)
	if err != nil || len(raw) == 0 {
		return root, false, fmt.Errorf("read veritysetup status: root hash %q", sum)
	}
	return digest.New(alg, raw), signed, nil
}
