package vm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"unicode/utf16"
)

// guid is an identifier of UEFI as it stands in memory.
type guid [16]byte

var (
	// shimGUID is the owner of shim's variables: 605dab50-e046-4300-abb6-3dd810dd8b23.
	shimGUID = guid{0x50, 0xab, 0x5d, 0x60, 0x46, 0xe0, 0x00, 0x43, 0xab, 0xb6, 0x3d, 0xd8, 0x10, 0xdd, 0x8b, 0x23}
	// certX509GUID marks certificates in signature lists: a5c059a1-94e4-4aa7-87b5-ab155c2bf072.
	certX509GUID = guid{0xa1, 0x59, 0xc0, 0xa5, 0xe4, 0x94, 0xa7, 0x4a, 0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b, 0xf0, 0x72}
	// authenticatedStoreGUID begins the store of variables: aaf32c78-947b-439a-a180-2e144ec37792.
	authenticatedStoreGUID = guid{0x78, 0x2c, 0xf3, 0xaa, 0x7b, 0x94, 0x9a, 0x43, 0xa1, 0x80, 0x2e, 0x14, 0x4e, 0xc3, 0x77, 0x92}
)

// storeHeader is VARIABLE_STORE_HEADER, behind the header of the firmware volume.
type storeHeader struct {
	Signature     guid
	Size          uint32
	Format, State uint8
	_             [6]byte
}

// variableHeader is AUTHENTICATED_VARIABLE_HEADER; name and data follow.
type variableHeader struct {
	StartID    uint16
	State      uint8
	_          uint8
	Attributes uint32
	Count      uint64
	Time       [16]byte
	KeyIndex   uint32
	NameSize   uint32
	DataSize   uint32
	Vendor     guid
}

const (
	volumeHeaderLength = 48 // where a firmware volume's header says how long it is
	variableStart      = 0x55aa
	variableAdded      = 0x3f
	variableAlign      = 4
	// bootServices: the variable is kept, and only firmware and boot loaders see it.
	bootServices = 0x1 | 0x2
)

var errNoStore = errors.New("no store of authenticated variables with room in it")

// addVariable writes one more variable into a file of OVMF's variables.
func addVariable(vars []byte, owner guid, name string, data []byte) ([]byte, error) {
	free, end, err := freeSpace(vars)
	if err != nil {
		return nil, err
	}
	units := append(utf16.Encode([]rune(name)), 0)
	h := variableHeader{StartID: variableStart, State: variableAdded, Attributes: bootServices,
		NameSize: uint32(2 * len(units)), DataSize: uint32(len(data)), Vendor: owner}
	var b bytes.Buffer
	for _, part := range []any{h, units, data} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			return nil, err
		}
	}
	if free+b.Len() > end {
		return nil, errNoStore
	}
	out := slices.Clone(vars)
	copy(out[free:], b.Bytes())
	return out, nil
}

// freeSpace finds the first unused byte of the store, and its end.
func freeSpace(vars []byte) (free, end int, err error) {
	if len(vars) < volumeHeaderLength+2 {
		return 0, 0, errNoStore
	}
	at := int(binary.LittleEndian.Uint16(vars[volumeHeaderLength:]))
	var store storeHeader
	if err := read(vars, at, &store); err != nil || store.Signature != authenticatedStoreGUID {
		return 0, 0, errNoStore
	}
	end = min(at+int(store.Size), len(vars))
	for at += binary.Size(store); at < end; {
		at = (at + variableAlign - 1) &^ (variableAlign - 1)
		var v variableHeader
		if err := read(vars, at, &v); err != nil {
			return 0, 0, err
		}
		if v.StartID != variableStart {
			return at, end, nil
		}
		at += binary.Size(v) + int(v.NameSize) + int(v.DataSize)
	}
	return 0, 0, errNoStore
}

func read(vars []byte, at int, to any) error {
	if at < 0 || at > len(vars) {
		return errNoStore
	}
	if _, err := binary.Decode(vars[at:], binary.LittleEndian, to); err != nil {
		return fmt.Errorf("read variables: %w", err)
	}
	return nil
}

// signatureList is an EFI_SIGNATURE_LIST of one certificate.
func signatureList(owner guid, cert []byte) []byte {
	const listHeader = 16 + 3*4
	entry := uint32(len(owner) + len(cert))
	b := slices.Clone(certX509GUID[:])
	for _, n := range []uint32{listHeader + entry, 0, entry} {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	return slices.Concat(b, owner[:], cert)
}
