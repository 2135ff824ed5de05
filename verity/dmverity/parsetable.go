package dmverity

import (
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/ipe-linux/ipe/digest"
)

// words are the parts of a table that have not been read yet. The first error
// stays.
type words struct {
	rest []string
	err  error
}

func (w *words) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf("%w: "+format, append([]any{ErrParams}, args...)...)
	}
}

func (w *words) next(what string) string {
	if len(w.rest) == 0 {
		w.fail("no %s", what)
		return ""
	}
	word := w.rest[0]
	w.rest = w.rest[1:]
	return word
}

func (w *words) number(what string, limit int64) int64 {
	word := w.next(what)
	n, err := strconv.ParseUint(word, 10, 63)
	if w.err == nil && (err != nil || int64(n) > limit) {
		w.fail("%s %q", what, word)
	}
	return int64(n)
}

// product is a number of blocks in bytes.
func (w *words) product(what string, block int) int64 {
	n := w.number(what, math.MaxInt64)
	if block > 0 && n > math.MaxInt64/int64(block) {
		w.fail("%s %d", what, n)
		return 0
	}
	return n * int64(block)
}

func (w *words) hex(what, word string) []byte {
	b, err := hex.DecodeString(word)
	if err != nil {
		w.fail("%s %q", what, word)
	}
	return b
}

// ParseParams reads the parameters of a verity target, as Table.Params writes them
// or the kernel shows them of a live one (verity_status in
// drivers/md/dm-verity-target.c), options in any order. A table tells nothing of a
// superblock: HashOffset is where the tree begins. Errors wrap ErrParams or
// merkle.ErrAlgorithm.
func ParseParams(text string) (Table, error) {
	t, err := parseParams(text)
	if err != nil {
		return Table{}, fmt.Errorf("read table: %w", err)
	}
	return t, nil
}

func parseParams(text string) (t Table, err error) {
	w := &words{rest: strings.Fields(text)}
	t.NoSuperblock = true
	t.HashType = int(w.number("hash type", HashTypeNormal))
	t.DataDevice, t.HashDevice = w.next("data device"), w.next("hash device")
	t.DataBlockSize = int(w.number("data block size", math.MaxInt32))
	t.HashBlockSize = int(w.number("hash block size", math.MaxInt32))
	t.DataBlocks = w.number("number of data blocks", math.MaxInt64)
	t.HashOffset = w.product("hash start", t.HashBlockSize)
	t.Algorithm = w.next("hash algorithm")
	root, salt := w.next("root hash"), w.next("salt")
	if salt != "-" {
		t.Salt = w.hex("salt", salt)
	}
	t.Root = digest.New(t.Algorithm, w.hex("root hash", root))
	if w.err != nil {
		return t, w.err
	}
	if err := t.Volume.check(); err != nil {
		return t, err
	}
	if err := t.parseOptions(w); err != nil {
		return t, err
	}
	return t, t.check()
}

// parseOptions reads the count of optional words and these.
func (t *Table) parseOptions(w *words) error {
	if len(w.rest) == 0 {
		return nil
	}
	if n := w.number("number of options", math.MaxInt32); w.err == nil && n != int64(len(w.rest)) {
		w.fail("%d optional words instead of %d", len(w.rest), n)
	}
	fecBlocks := int64(-1)
	for len(w.rest) > 0 && w.err == nil {
		t.parseOption(w, &fecBlocks)
	}
	if w.err != nil || t.FEC == nil {
		return w.err
	}
	hashBlocks := fecBlocks - t.DataBlocks
	if t.FECDevice == "" || hashBlocks < 0 || hashBlocks > (math.MaxInt64-t.TreeOffset())/int64(t.HashBlockSize) {
		return fmt.Errorf("%w: incomplete error correction, or one of %d blocks for %d of data", ErrParams, fecBlocks, t.DataBlocks)
	}
	t.FEC.HashEnd = t.TreeOffset() + hashBlocks*int64(t.HashBlockSize)
	return nil
}

func (t *Table) parseOption(w *words, fecBlocks *int64) {
	fec := func() *FEC {
		if t.FEC == nil {
			t.FEC = &FEC{Roots: DefaultFECRoots}
		}
		return t.FEC
	}
	switch word := w.next("option"); word {
	case string(IgnoreCorruption), string(RestartOnCorruption), string(PanicOnCorruption):
		t.OnCorruption = OnCorruption(word)
	case "restart_on_error", "panic_on_error":
		t.OnIOError = word
	case "ignore_zero_blocks":
		t.IgnoreZeroBlocks = true
	case "check_at_most_once":
		t.CheckAtMostOnce = true
	case "try_verify_in_tasklet":
		t.TryVerifyInTasklet = true
	case "root_hash_sig_key_desc":
		t.SignatureKey = w.next(word)
	case "use_fec_from_device":
		fec()
		t.FECDevice = w.next(word)
	case "fec_start":
		fec().Offset = w.product(word, t.DataBlockSize)
	case "fec_blocks":
		fec()
		*fecBlocks = w.number(word, math.MaxInt64)
	case "fec_roots":
		fec().Roots = int(w.number(word, MaxFECRoots))
	default:
		w.fail("unknown option %q", word)
	}
}
