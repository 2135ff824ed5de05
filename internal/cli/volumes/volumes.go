// Package volumes is the commands about dm-verity volumes: they do what veritysetup(8) does.
package volumes

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/decimal"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/internal/roothash"
	"github.com/ipe-linux/ipe/verity/dmverity"
	"github.com/ipe-linux/ipe/verity/merkle"
)

// app is what the commands of this room share.
type app struct {
	*ui.UI
	verbose, debug bool
}

// Command returns the group of commands about volumes.
func Command(u *ui.UI) *cobra.Command {
	a := &app{UI: u}
	cmd := a.Group("dmverity", "Format, verify, sign and open dm-verity volumes",
		"These commands do what veritysetup(8) does with files and block devices, with the same options\n"+
			"and the same bytes: -h is --hash, and help is --help. They need no root but for devices: open,\n"+
			"close and status are about these.", nil)
	cmd.AddCommand(a.dmFormat(), a.dmVerify(), a.dmDump(), a.dmTable(), a.dmSign(), a.dmOpen(), a.dmCreate(), a.dmClose(), a.dmStatus())
	a.peerFlags(cmd)
	return cmd
}

// dmParams are the flags that describe a volume.
type dmParams struct {
	hash, salt, uuid string
	hashType         int
	data, hashBlock  int
	blocks, offset   int64
	noSuperblock     bool
	fecDevice        string
	fecOffset        int64
	fecRoots         int
}

// placeFlags say where things are.
func (p *dmParams) placeFlags(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.Var(decimal.Flag(&p.offset, 0), "hash-offset", "where the hash area begins on HASH, in `bytes`")
	fl.BoolVar(&p.noSuperblock, "no-superblock", false, "there is no superblock: parameters are those of the command line")
}

func (p *dmParams) fecFlags(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&p.fecDevice, "fec-device", "", "`file` or device with the parity for error correction; may be HASH")
	fl.Var(decimal.Flag(&p.fecOffset, 0), "fec-offset", "where it begins there, in `bytes`")
	fl.Var(decimal.Flag(&p.fecRoots, dmverity.DefaultFECRoots), "fec-roots", "parity `bytes` of a code word, 2 to 24")
}

// paramFlags are what a superblock holds.
func (p *dmParams) paramFlags(cmd *cobra.Command) {
	d := dmverity.Default()
	fl := cmd.Flags()
	fl.StringVarP(&p.hash, "hash", "h", d.Algorithm, "hash `algorithm`: "+strings.Join(merkle.Algorithms(), ", "))
	fl.Var(decimal.Flag(&p.hashType, d.HashType), "format", "hash `type`: 1, or 0 for the one of Chrome OS")
	fl.Var(decimal.Flag(&p.data, d.DataBlockSize), "data-block-size", "in `bytes`, a power of two from 512 to 65536")
	fl.Var(decimal.Flag(&p.hashBlock, d.HashBlockSize), "hash-block-size", "in `bytes`, a power of two from 512 to 65536")
	fl.Var(decimal.Flag(&p.blocks, 0), "data-blocks", "number of `blocks` of data (default all of DATA)")
	fl.StringVarP(&p.salt, "salt", "s", "", "salt, `hex` digits, - for none")
	ui.Choices(cmd, "hash", merkle.Algorithms()...)
	ui.Choices(cmd, "format", "0", "1")
}

// volume makes a volume of the flags. The number of blocks is that of data, in
// bytes, if it was not given.
func (p *dmParams) volume(cmd *cobra.Command, size int64) (dmverity.Volume, error) {
	v := dmverity.Volume{HashOffset: p.offset, NoSuperblock: p.noSuperblock, Superblock: dmverity.Superblock{
		HashType: p.hashType, Algorithm: strings.ToLower(p.hash), DataBlockSize: p.data, HashBlockSize: p.hashBlock, DataBlocks: p.blocks,
	}}
	v = v.Of(size)
	if p.salt != "-" {
		salt, err := hex.DecodeString(p.salt)
		if err != nil {
			return v, ui.Usage(cmd, "--salt %s: %w", p.salt, digest.ErrHex)
		}
		v.Salt = salt
	}
	if p.blocks == 0 && size < int64(p.data) {
		return v, fmt.Errorf("%d bytes of data are less than a block of %d", size, p.data)
	}
	if _, err := v.HashEnd(); err != nil {
		return v, ui.Usage(cmd, "%w", err)
	}
	return v, nil
}

// superblock is the volume of a hash device with one.
func (p *dmParams) superblock(hash *os.File) (dmverity.Volume, error) {
	v, err := dmverity.ReadSuperblock(hash, p.offset)
	if err != nil {
		return v, fmt.Errorf("%s: %w", plain.Name(hash.Name()), unfit{err})
	}
	return v, nil
}

// open is the volume of a data and a hash device: its superblock, or the flags.
func (p *dmParams) open(cmd *cobra.Command, data, hash *os.File) (dmverity.Volume, error) {
	size, err := sizeOf(data)
	if err != nil {
		return dmverity.Volume{}, err
	}
	if p.noSuperblock {
		return p.volume(cmd, size)
	}
	v, err := p.superblock(hash)
	if err != nil {
		return v, err
	}
	if v = v.Of(size); v.DataBlocks == 0 {
		return v, fmt.Errorf("%s: %d bytes of data are less than a block of %d", plain.Name(data.Name()), size, v.DataBlockSize)
	}
	return v, nil
}

// fec returns the error correction that the flags want, nil if none.
func (p *dmParams) fec(hash *os.File, parity *os.File) (*dmverity.FEC, error) {
	if parity == nil {
		return nil, nil
	}
	f := &dmverity.FEC{Roots: p.fecRoots, Offset: p.fecOffset}
	same, err := sameDevice(hash, parity)
	if err != nil {
		return nil, err
	}
	if same {
		f.OnHashDevice = true
		return f, nil
	}
	f.HashEnd, err = sizeOf(hash)
	return f, err
}

// sizeOf returns the size of a file or a block device.
func sizeOf(f *os.File) (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if st.Mode().IsRegular() {
		return st.Size(), nil
	}
	if st.Mode()&fs.ModeDevice == 0 || st.Mode()&fs.ModeCharDevice != 0 {
		return 0, fmt.Errorf("%s: %w", plain.Name(f.Name()), errNoDevice)
	}
	return f.Seek(0, io.SeekEnd)
}

// openDevice opens a file or a block device, and nothing else: it does not wait for the
// writer of a pipe.
func openDevice(name string, mode int) (*os.File, error) {
	f, err := os.OpenFile(name, mode|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if _, err := sizeOf(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func sameDevice(a, b *os.File) (bool, error) {
	x, err := a.Stat()
	if err != nil {
		return false, err
	}
	y, err := b.Stat()
	return err == nil && os.SameFile(x, y), err
}

// readRoot reads a root hash: hex digits, or with the algorithm before them, or
// from a file.
func (a *app) readRoot(cmd *cobra.Command, alg string, args []string, file string) (digest.Digest, error) {
	if (len(args) == 1) == (file != "") {
		return digest.Digest{}, ui.Usage(cmd, "%s wants ROOT-HASH or --root-hash-file", cmd.CommandPath())
	}
	text, err := a.rootText(args, file)
	if err != nil {
		return digest.Digest{}, err
	}
	d, err := rootOf(alg, text)
	switch {
	case err != nil && file != "":
		return d, fmt.Errorf("%s: %w", plain.Name(file), err)
	case err != nil:
		return d, ui.Usage(cmd, "%w", err)
	}
	return d, nil
}

// rootOf is the root hash that a text says; alg is its algorithm if the text has none.
func rootOf(alg, text string) (digest.Digest, error) {
	whole := text
	if !strings.Contains(text, ":") {
		whole = alg + ":" + text
	}
	d, err := digest.Parse(whole)
	if err != nil {
		return d, fmt.Errorf("root hash %s: %w", plain.Name(text), digest.ErrHex) // Parse has Go quote it
	}
	if size, ok := digest.AlgorithmSize(d.Algorithm()); ok && d.Size() != size {
		return d, fmt.Errorf("root hash of %d hex digits, one of %s has %d", 2*d.Size(), d.Algorithm(), 2*size)
	}
	return d, nil
}

// rootText is a root hash as it was written, on the command line or in a file.
func (a *app) rootText(args []string, file string) (string, error) {
	if file == "" {
		return args[0], nil
	}
	b, err := a.Read(file)
	if err != nil {
		return "", err
	}
	word, err := roothash.Word(b)
	if err != nil {
		return "", fmt.Errorf("%s: %w", plain.Name(file), err)
	}
	return string(word), nil
}

// closing joins the errors of closing what was written.
func closing(err error, files ...*os.File) error {
	for _, f := range files {
		if f == nil {
			continue
		}
		if e := f.Close(); !errors.Is(e, os.ErrClosed) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// volumeInfo is a volume as JSON.
type volumeInfo struct {
	UUID          string `json:"uuid"`
	HashType      int    `json:"hash_type"`
	Algorithm     string `json:"algorithm"`
	DataBlocks    int64  `json:"data_blocks"`
	DataBlockSize int    `json:"data_block_size"`
	HashBlockSize int    `json:"hash_block_size"`
	HashOffset    int64  `json:"hash_offset"`
	Salt          string `json:"salt"`
	RootHash      string `json:"roothash"`
	FECRoots      int    `json:"fec_roots"`
	FECSize       int64  `json:"fec_size"`
}

// showVolume prints a volume as veritysetup does.
func (a *app) showVolume(name string, v dmverity.Volume, root digest.Digest, f *dmverity.FEC) error {
	text, err := dmverity.Dump(v, root, f)
	if err != nil {
		return err
	}
	info := volumeInfo{
		HashType: v.HashType, Algorithm: v.Algorithm, DataBlocks: v.DataBlocks, DataBlockSize: v.DataBlockSize,
		HashBlockSize: v.HashBlockSize, HashOffset: v.HashOffset, Salt: hex.EncodeToString(v.Salt),
	}
	if !v.NoSuperblock {
		info.UUID = v.UUID.String()
	}
	if !root.IsZero() {
		info.RootHash = root.String()
	}
	if f != nil {
		info.FECRoots, info.FECSize = f.Roots, f.Size(v)
	}
	return a.Result(info, "VERITY header information for %s\n%s", plain.Name(name), text)
}
