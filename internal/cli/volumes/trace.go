package volumes

import (
	"fmt"
	"os"

	"github.com/ipe-linux/ipe/internal/linux/devmapper"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/verity/dmverity"
)

// trace says what is done, with --debug.
func (a *app) trace(format string, args ...any) {
	if a.debug {
		a.Say("trace", format, args...)
	}
}

// traceFile says what is opened for what.
func (a *app) traceFile(what string, f *os.File) {
	if !a.debug {
		return // sizes are not asked for in vain
	}
	if size, err := sizeOf(f); err == nil {
		a.trace("%s: %s, %d bytes", what, plain.Name(f.Name()), size)
	}
}

// traceVolume says where superblock, data and hash tree lie; data is empty where it is not
// looked at.
func (a *app) traceVolume(data, hash string, v dmverity.Volume) {
	if !v.NoSuperblock {
		a.trace("superblock: bytes %d to %d of %s, hash type %d, UUID %v", v.HashOffset, v.HashOffset+dmverity.SuperblockSize-1, plain.Name(hash), v.HashType, v.UUID)
	}
	on := ""
	if data != "" {
		on = " on " + plain.Name(data)
	}
	a.trace("volume of %d data blocks of %d bytes%s; %s, hash blocks of %d bytes from byte %d of %s on; salt %x",
		v.DataBlocks, v.DataBlockSize, on, v.Algorithm, v.HashBlockSize, v.TreeOffset(), plain.Name(hash), v.Salt)
	tree, err := v.Tree()
	if err != nil {
		return // it has no number of data blocks
	}
	a.trace("hash tree: %d levels, %d blocks, %d bytes", tree.Levels(), tree.Blocks(), tree.Size())
	for level := tree.Levels() - 1; level >= 0; level-- {
		offset, blocks := tree.Level(level)
		a.trace("hash level %d: %d blocks from byte %d on", level, blocks, v.TreeOffset()+offset)
	}
}

// traceFormat says what is about to be written.
func (a *app) traceFormat(n *formatting, f volumeFlags) {
	a.traceFile("hashes", n.hash.File)
	if n.old != nil {
		a.trace("superblock of another volume, UUID %v, is wiped before the hash tree is written", n.old.UUID)
	}
	a.traceVolume("", n.hash.Name(), n.Volume)
	if n.parity != nil {
		a.traceFEC(f.fecDevice, n.Volume, n.later())
	}
}

// traceFEC says what parity covers, and where it lies; f is nil if there is none.
func (a *app) traceFEC(name string, v dmverity.Volume, f *dmverity.FEC) {
	if f == nil || f.Check(v) != nil {
		return // who reads it complains
	}
	end := f.HashEnd
	if f.OnHashDevice {
		end = f.Offset
	}
	size := f.Size(v)
	groups := size / int64(f.Roots) / int64(v.DataBlockSize)
	a.trace("parity: bytes %d to %d of %s, %d roots, groups of up to %d blocks, %d of them", f.Offset, f.Offset+size-1, plain.Name(name), f.Roots, codeWord-f.Roots, groups)
	a.trace("parity covers %d bytes of data, and the hash area from byte %d to %d", v.DataSize(), v.TreeOffset(), end)
}

// codeWord is the length of a code word of parity, in bytes.
const codeWord = 255

// traceDevice says what the kernel tells of a device.
func (a *app) traceDevice(s devmapper.Status) {
	mode := "read/write"
	if s.ReadOnly {
		mode = "read-only"
	}
	a.trace("device %s: %d:%d, UUID %s, open %d times, %s", plain.Name(s.Path()), s.Major, s.Minor, s.UUID, s.Opens, mode)
	if line, err := s.Table.Line(); err == nil {
		a.trace("table: %s", line)
	} else {
		a.trace("table: %v", err)
	}
}

// tracing is how package devmapper says what it does; nil without --debug.
func (a *app) tracing() func(string) {
	if !a.debug {
		return nil
	}
	return func(step string) { a.trace("device-mapper: %s", step) }
}

// traceBad says what a comparison has found.
func (a *app) traceBad(found error) {
	text := "nothing is wrong"
	if found != nil {
		text = fmt.Sprint(found)
	}
	a.trace("compared with the root hash: %s", text)
}
