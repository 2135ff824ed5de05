package dmverity

import (
	"fmt"
	"strings"

	"github.com/ipe-linux/ipe/digest"
)

// Dump returns the lines that veritysetup(8) prints for a volume below its
// heading. The lines on root hash and error correction are there if root is not
// zero and fec is not nil. A volume of no data blocks has no hash blocks, either. Errors
// wrap ErrParams or merkle.ErrAlgorithm.
func Dump(v Volume, root digest.Digest, fec *FEC) (string, error) {
	end, err := Volume{v.some(), v.HashOffset, v.NoSuperblock}.HashEnd()
	if v.DataBlocks == 0 {
		end = v.TreeOffset()
	}
	if err != nil {
		return "", fmt.Errorf("dump: %w", err)
	}
	if fec != nil {
		if err := fec.Check(v); err != nil {
			return "", fmt.Errorf("dump: %w", err)
		}
	}
	var b strings.Builder
	line := func(name string, value any) { fmt.Fprintf(&b, "%s\t%v\n", name, value) }
	uuid, salt := v.UUID.String(), "-"
	if v.NoSuperblock {
		uuid = ""
	}
	if len(v.Salt) > 0 {
		salt = fmt.Sprintf("%x", v.Salt)
	}
	line("UUID:            ", uuid)
	line("Hash type:       ", v.HashType)
	line("Data blocks:     ", v.DataBlocks)
	line("Data block size: ", v.DataBlockSize)
	line("Hash blocks:     ", (end-v.TreeOffset())/int64(v.HashBlockSize))
	line("Hash block size: ", v.HashBlockSize)
	line("Hash algorithm:  ", v.Algorithm)
	if fec != nil {
		line("FEC RS roots:   ", fec.Roots)
		line("FEC blocks:     ", fec.Size(v)/int64(v.DataBlockSize))
	}
	line("Salt:            ", salt)
	if !root.IsZero() {
		line("Root hash:      ", fmt.Sprintf("%x", root.Bytes()))
	}
	if v.HashOffset == 0 {
		if fec != nil && fec.OnHashDevice {
			end += fec.Size(v) // as if it followed at once
		}
		line("Hash device size: ", fmt.Sprintf("%d [bytes]", end))
	}
	if fec != nil && fec.Offset == 0 {
		line("FEC device size: ", fmt.Sprintf("%d [bytes]", fec.Size(v)))
	}
	return b.String(), nil
}
