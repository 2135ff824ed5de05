package devmapper

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/decimal"
	"github.com/ipe-linux/ipe/internal/linux/abi"
)

// target is a line of a table, or the state of one.
type target struct {
	start, length uint64 // in units of 512 bytes
	kind, text    string
}

// Where fields lie in the kernel's structures (include/uapi/linux/dm-ioctl.h), in the
// byte order of the machine.
const (
	specLength = 8  // dm_target_spec.length
	specNext   = 20 // .next
	specKind   = 24 // .target_type
	specEnd    = unix.SizeofDmTargetSpec

	nameNext = 8  // dm_name_list.next
	nameText = 12 // .name

	messageText = 8 // dm_target_msg.message, behind a sector that such messages have not

	versionNumbers = 4 // dm_target_versions.version
	versionEnd     = 16
)

// malformed says that an answer of the kernel makes no sense.
func malformed(what string) error { return fmt.Errorf("read %s: %w", what, unix.EPROTO) }

// marshal writes the one target of a table.
func (t target) marshal() []byte {
	b := make([]byte, specEnd, specEnd+len(t.text)+8)
	binary.NativeEndian.PutUint64(b, t.start)
	binary.NativeEndian.PutUint64(b[specLength:], t.length)
	copy(b[specKind:specEnd-1], t.kind)
	b = append(b, t.text...)
	b = append(b, make([]byte, 8-len(b)%8)...) // at least the zero that ends the text
	binary.NativeEndian.PutUint32(b[specNext:], uint32(len(b)))
	return b
}

// parseTargets reads the answer to DM_TABLE_STATUS: next counts from the beginning of
// the first target.
func parseTargets(data []byte, count int) (all []target, err error) {
	at := uint64(0)
	for range count {
		if at+specEnd > uint64(len(data)) {
			return nil, malformed("table")
		}
		spec := data[at:]
		text, _, ok := bytes.Cut(spec[specEnd:], []byte{0})
		next := uint64(binary.NativeEndian.Uint32(spec[specNext:]))
		if !ok || next <= at {
			return nil, malformed("table")
		}
		all = append(all, target{
			start: binary.NativeEndian.Uint64(spec), length: binary.NativeEndian.Uint64(spec[specLength:]),
			kind: unix.ByteSliceToString(spec[specKind:specEnd]), text: string(text),
		})
		at = next
	}
	return all, nil
}

// listed is a device in a list.
type listed struct {
	mangled string
	dev     uint64
}

// parseState reads what a verity target says of its state (verity_status in
// drivers/md/dm-verity-target.c): V or C for valid or corrupted, and from Linux 6.19 on how
// often error correction has restored a block, - without it. What newer kernels say behind
// that is left to them.
func parseState(text string) (corrupted bool, repaired int64, err error) {
	words := strings.Fields(text)
	if len(words) == 0 || words[0] != "V" && words[0] != "C" {
		return false, 0, malformed("state of a verity device")
	}
	repaired = -1
	if len(words) > 1 && words[1] != "-" {
		if repaired, err = decimal.Parse[int64](words[1]); err != nil {
			return false, 0, malformed("state of a verity device")
		}
	}
	return words[0] == "C", repaired, nil
}

// parseNames reads the answer to DM_LIST_DEVICES: next counts from the entry itself,
// 0 ends the list. One of no devices is empty, or one entry of zeros.
func parseNames(data []byte) (all []listed, err error) {
	if len(data) == 0 {
		return nil, nil
	}
	for {
		if len(data) < nameText {
			return nil, malformed("list of devices")
		}
		dev, next := binary.NativeEndian.Uint64(data), binary.NativeEndian.Uint32(data[nameNext:])
		if dev == 0 && len(all) == 0 && next == 0 {
			return nil, nil
		}
		name, _, ok := bytes.Cut(data[nameText:], []byte{0})
		if !ok {
			return nil, malformed("list of devices")
		}
		all = append(all, listed{string(name), dev})
		if next == 0 {
			return all, nil
		}
		if uint64(next) > uint64(len(data)) || next < nameText {
			return nil, malformed("list of devices")
		}
		data = data[next:]
	}
}

// parseVersion reads the answer to DM_GET_TARGET_VERSION.
func parseVersion(data []byte) (abi.Version, error) {
	if len(data) < versionEnd {
		return abi.Version{}, malformed("version of a target")
	}
	number := func(i int) int { return int(binary.NativeEndian.Uint32(data[versionNumbers+4*i:])) }
	return abi.Version{Major: number(0), Minor: number(1), Patch: number(2)}, nil
}
