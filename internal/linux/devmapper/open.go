package devmapper

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/verity/dmverity"
)

// sector is the unit of device-mapper, in bytes.
const sector = 512

// kind is the name of the target.
const kind = "verity"

// uuidPrefix begins the UUIDs of devices that veritysetup(8) has made, or may close.
const uuidPrefix = "CRYPT-VERITY-"

// Request says what to open.
type Request struct {
	// Name is what the device shall be called; Mangle has the rules.
	Name string
	// Table holds volume, root hash and options; its devices and its key are filled
	// in here.
	Table dmverity.Table
	// Data, Hash and FEC are block devices, or regular files, which become loop
	// devices for as long as they are in use. Hash may be Data, and FEC, nil without
	// error correction, may be Hash.
	Data, Hash, FEC *os.File
	// Signature is a detached PKCS#7 message over the root hash, or nil.
	Signature []byte
	// Trace, if set, is told each step before it is made.
	Trace func(step string)
}

func (r Request) say(format string, args ...any) {
	if r.Trace != nil {
		r.Trace(fmt.Sprintf(format, args...))
	}
}

// uuid is the UUID of the device: that of the volume and the name.
func (r Request) uuid(mangled string) string {
	id := uuidPrefix + strings.ReplaceAll(r.Table.UUID.String(), "-", "") + "-" + mangled
	if r.Table.NoSuperblock {
		id = uuidPrefix + mangled
	}
	return id[:min(len(id), unix.DM_UUID_LEN-1)]
}

// Open makes a device of a volume and returns it when its node is there. If anything
// goes wrong, all that was made is taken away again. The kernel's reasons are error
// numbers: ENOKEY, EKEYREJECTED and EBADMSG are about the signature, ENOENT is a hash
// algorithm that it does not have, and the rest is in its log.
func Open(r Request) (Device, error) {
	d, err := open(r)
	if err != nil {
		return Device{}, fmt.Errorf("open volume %s: %w", plain.Name(r.Name), err)
	}
	return d, nil
}

func open(r Request) (Device, error) {
	mangled, err := Mangle(r.Name)
	if err != nil {
		return Device{}, err
	}
	c, err := openControl()
	if err != nil {
		return Device{}, err
	}
	defer c.close()
	have, err := c.targetVersion(kind)
	if err != nil {
		return Device{}, err
	}
	r.say("target %s is of version %v", kind, have)
	if r.Signature != nil {
		r.Table.SignatureKey = fmt.Sprintf("ipe:%x", r.Table.Root.Bytes())
	}
	if err := supported(r.Table, have); err != nil {
		return Device{}, err
	}
	release, err := r.attach()
	defer release()
	if err != nil {
		return Device{}, err
	}
	params, err := r.Table.Params()
	if err != nil {
		return Device{}, err
	}
	r.say("create device %s, UUID %s", mangled, r.uuid(mangled))
	d, err := c.create(mangled, r.uuid(mangled))
	if err != nil {
		return d, err
	}
	if d, err = c.start(d, mangled, params, r); err != nil {
		_, e := c.takeAway(d, mangled, false)
		return d, errors.Join(err, e)
	}
	return d, nil
}

// start gives a device that was just made its table and its node.
func (c *control) start(d Device, mangled, params string, r Request) (Device, error) {
	r.say("load table: 0 %d %s %s", r.Table.Sectors(), kind, params)
	load := func() error {
		return c.load(mangled, target{length: uint64(r.Table.Sectors()), kind: kind, text: params})
	}
	if key := r.Table.SignatureKey; key != "" {
		r.say("signature of %d bytes goes along in key %s", len(r.Signature), key)
		inner := load
		load = func() error { return withKey(key, r.Signature, inner) }
	}
	if err := load(); err != nil {
		return d, err
	}
	r.say("resume device %d:%d", d.Major, d.Minor)
	live, err := c.resume(mangled)
	if err != nil {
		return d, err
	}
	return live, live.makeNode()
}

// attach turns files into devices, fills them into the table, and returns what lets
// go of those that nothing was made on.
func (r *Request) attach() (release func(), err error) {
	var all []source
	release = func() {
		for _, s := range all {
			s.close()
		}
	}
	find := func(f *os.File) (source, error) {
		s, err := newSource(f)
		if err == nil {
			all = append(all, s)
		}
		return s, err
	}
	data, err := find(r.Data)
	if err != nil {
		return release, err
	}
	hash := data
	if !sameFile(r.Data, r.Hash) {
		if hash, err = find(r.Hash); err != nil {
			return release, err
		}
	}
	r.Table.DataDevice, r.Table.HashDevice = data.number, hash.number
	if err := r.fits(data, hash); err != nil || r.Table.FEC == nil {
		return release, err
	}
	fec := hash
	if sameFile(r.Data, r.FEC) {
		fec = data
	} else if !sameFile(r.Hash, r.FEC) {
		if fec, err = find(r.FEC); err != nil {
			return release, err
		}
	}
	r.Table.FECDevice = fec.number
	if end := r.Table.FEC.Offset + r.Table.FEC.Size(r.Table.Volume); fec.size < end {
		return release, fmt.Errorf("%w: parity ends at %d, behind the %d bytes of %s", ErrParams, end, fec.size, r.FEC.Name())
	}
	return release, nil
}

// fits wants the devices to have what the volume takes of them. The kernel would say
// EINVAL to all of that.
func (r *Request) fits(data, hash source) error {
	v := r.Table.Volume
	end, err := v.HashEnd()
	switch page := os.Getpagesize(); {
	case err != nil:
		return err
	case v.DataBlockSize > page:
		return fmt.Errorf("%w: data blocks of %d bytes, and this kernel takes none larger than a page of %d", ErrParams, v.DataBlockSize, page)
	case v.DataBlockSize < data.block:
		return fmt.Errorf("%w: data blocks of %d bytes on %s, which has sectors of %d", ErrParams, v.DataBlockSize, r.Data.Name(), data.block)
	case v.HashBlockSize < hash.block:
		return fmt.Errorf("%w: hash blocks of %d bytes on %s, which has sectors of %d", ErrParams, v.HashBlockSize, r.Hash.Name(), hash.block)
	case v.DataSize() > data.size:
		return fmt.Errorf("%w: %d bytes of data, and %s has %d", ErrParams, v.DataSize(), r.Data.Name(), data.size)
	case end > hash.size:
		return fmt.Errorf("%w: the hash tree ends at %d, behind the %d bytes of %s", ErrParams, end, hash.size, r.Hash.Name())
	}
	return nil
}

func sameFile(a, b *os.File) bool {
	if a == nil || b == nil {
		return a == b
	}
	x, errX := a.Stat()
	y, errY := b.Stat()
	return errX == nil && errY == nil && os.SameFile(x, y)
}
