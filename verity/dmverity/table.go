package dmverity

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/ipe-linux/ipe/digest"
)

// OnCorruption says what the kernel does about a corrupt block, in the words of
// the table; "" lets the read fail with EIO.
type OnCorruption string

// The words of the table.
const (
	IgnoreCorruption    OnCorruption = "ignore_corruption"
	RestartOnCorruption OnCorruption = "restart_on_corruption"
	PanicOnCorruption   OnCorruption = "panic_on_corruption"
)

// Table is what device-mapper's verity target is told.
type Table struct {
	Volume
	Root digest.Digest
	// DataDevice and HashDevice are paths or "major:minor".
	DataDevice, HashDevice string

	OnCorruption OnCorruption
	// OnIOError is what to do about a device that cannot be read (Linux 6.12):
	// "restart_on_error" or "panic_on_error"; "" lets the read fail.
	OnIOError string
	// IgnoreZeroBlocks lets blocks that should be zero read as zeros, unread.
	IgnoreZeroBlocks bool
	// CheckAtMostOnce trusts a data block after its first read.
	CheckAtMostOnce bool
	// TryVerifyInTasklet verifies in the bottom half if it can.
	TryVerifyInTasklet bool
	// SignatureKey is the description of the key in the user's keyring that holds the
	// signature of the root hash; "" if there is none.
	SignatureKey string
	// FEC, if set, is forward error correction with parity from FECDevice.
	FEC       *FEC
	FECDevice string
}

func (t Table) check() error {
	if err := t.Volume.check(); err != nil {
		return err
	}
	if err := t.checkRoot(t.Root); err != nil {
		return err
	}
	words := []string{t.DataDevice, t.HashDevice}
	if t.FEC != nil {
		words = append(words, t.FECDevice)
		if err := t.FEC.Check(t.Volume); err != nil {
			return err
		}
	}
	if t.SignatureKey != "" {
		words = append(words, t.SignatureKey)
	}
	for _, w := range words {
		if w == "" || strings.ContainsAny(w, " \t\n\v\f\r\\\x00") {
			return fmt.Errorf("%w: %q cannot stand in a table", ErrParams, w)
		}
	}
	switch t.OnCorruption {
	case "", IgnoreCorruption, RestartOnCorruption, PanicOnCorruption:
	default:
		return fmt.Errorf("%w: %q", ErrParams, t.OnCorruption)
	}
	switch t.OnIOError {
	case "", "restart_on_error", "panic_on_error":
	default:
		return fmt.Errorf("%w: %q", ErrParams, t.OnIOError)
	}
	return nil
}

// Sectors returns the size of the mapped device in units of 512 bytes.
func (t Table) Sectors() int64 { return t.DataSize() / sector }

// Params returns the target's parameters. Errors wrap ErrParams or
// merkle.ErrAlgorithm.
func (t Table) Params() (string, error) {
	if err := t.check(); err != nil {
		return "", fmt.Errorf("table: %w", err)
	}
	salt := "-"
	if len(t.Salt) > 0 {
		salt = hex.EncodeToString(t.Salt)
	}
	line := fmt.Sprintf("%d %s %s %d %d %d %d %s %x %s", t.HashType, t.DataDevice, t.HashDevice,
		t.DataBlockSize, t.HashBlockSize, t.DataBlocks, t.TreeOffset()/int64(t.HashBlockSize),
		t.Algorithm, t.Root.Bytes(), salt)
	if words := t.options(); len(words) > 0 {
		line += fmt.Sprintf(" %d %s", len(words), strings.Join(words, " "))
	}
	return line, nil
}

// options returns the optional words.
func (t Table) options() (words []string) {
	add := func(set bool, w ...string) {
		if set {
			words = append(words, w...)
		}
	}
	add(t.OnCorruption != "", string(t.OnCorruption))
	add(t.OnIOError != "", t.OnIOError)
	add(t.IgnoreZeroBlocks, "ignore_zero_blocks")
	add(t.CheckAtMostOnce, "check_at_most_once")
	if t.FEC != nil {
		block := int64(t.DataBlockSize)
		add(true, "use_fec_from_device", t.FECDevice, "fec_start", fmt.Sprint(t.FEC.Offset/block),
			"fec_blocks", fmt.Sprint(t.FEC.blocks(t.Volume)), "fec_roots", fmt.Sprint(t.FEC.Roots))
	}
	add(t.SignatureKey != "", "root_hash_sig_key_desc", t.SignatureKey)
	add(t.TryVerifyInTasklet, "try_verify_in_tasklet")
	return words
}

// Line returns the table as dmsetup(8) takes it: start, length, target,
// parameters. Errors are those of Params.
func (t Table) Line() (string, error) {
	params, err := t.Params()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("0 %d verity %s", t.Sectors(), params), nil
}
