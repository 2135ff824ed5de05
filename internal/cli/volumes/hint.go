package volumes

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/linux/devmapper"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/verity/merkle"
)

// goodName wants the name of a device.
func goodName(cmd *cobra.Command, name string) error {
	if _, err := devmapper.Mangle(name); err != nil {
		return ui.Usage(cmd, "NAME: %w", err)
	}
	return nil
}

// edgeHint says what a root hash or a size that does not fit may mean.
func edgeHint(err error, c *checked) error {
	switch {
	case err == nil:
		return nil
	case errors.As(err, new(*merkle.SizeError)):
		return ui.Hinted(fmt.Errorf("%s: %w", plain.Name(c.hash.Name()), err),
			"the superblock, or --data-blocks, says another number of data blocks than the volume was made with; "+
				"the superblock is not covered by the root hash: somebody may have changed it to cut the data off")
	case errors.As(err, new(*merkle.CorruptError)):
		return ui.Hinted(fmt.Errorf("%s: %w", plain.Name(c.hash.Name()), err),
			"the root hash is of another volume, a parameter is not that of the volume, or the hash area is damaged; "+
				"--on-corruption ignore opens what is left of a damaged one, unverified")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return ui.Hinted(fmt.Errorf("%s: %w", plain.Name(c.hash.Name()), err),
			"the hash tree ends behind the end of the device: it is cut short, or the superblock says too many data blocks")
	}
	return fmt.Errorf("%s: %w", plain.Name(c.hash.Name()), err)
}

// requireSignatures exists if dm-verity was built to verify signatures; its content
// says whether all volumes need one.
const requireSignatures = "/sys/module/dm_verity/parameters/require_signatures"

// openHint says what to do about a volume that the kernel did not take.
func openHint(err error, r devmapper.Request) error {
	switch {
	case errors.Is(err, devmapper.ErrExists):
		return ui.Hinted(err, "see ipe dmverity status; close it with ipe dmverity close, or choose another name")
	case errors.Is(err, devmapper.ErrLoopTaken):
		return ui.Hinted(err, "something else takes loop devices all the time: losetup shows what; try again")
	case errors.Is(err, unix.EBUSY):
		return ui.Hinted(err, "a device under the volume is claimed by something else: lsblk shows by what")
	case r.Signature == nil && errors.Is(err, unix.ENOKEY):
		return ui.Hinted(err, "this kernel takes no volume without a signature of its root hash: --root-hash-signature")
	case errors.Is(err, unix.ENOKEY):
		return ui.Hinted(err, "the kernel does not know who signed the root hash: it looks in its keyrings .builtin_trusted_keys "+
			"and .secondary_trusted_keys, from Linux 6.12 on in .platform, and in later ones in .dm-verity; see /proc/keys")
	case errors.Is(err, unix.EKEYREJECTED):
		return ui.Hinted(err, "the signature is not one of this root hash, or by a key that the kernel does not know or has been told to refuse; "+
			"it must be a detached PKCS#7 message over the root hash in hex, as ipe dmverity sign makes it")
	case errors.Is(err, unix.EBADMSG), errors.Is(err, unix.ENOPKG):
		return ui.Hinted(fmt.Errorf("the kernel refuses the signature of the root hash: %w", err), "the kernel cannot read the signature: it must be a detached PKCS#7 message in DER, of algorithms that "+
			"the kernel has; ipe dmverity sign makes one")
	case r.Signature != nil && errors.Is(err, unix.EINVAL) && !exists(requireSignatures):
		return ui.Hinted(err, "this kernel's dm-verity was built without CONFIG_DM_VERITY_VERIFY_ROOTHASH_SIG")
	case errors.Is(err, unix.ENOENT) && !errors.As(err, new(*fs.PathError)):
		return ui.Hinted(err, "this kernel has no hash algorithm %s, or did not find its module", r.Table.Algorithm)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EIO):
		return ui.Hinted(err, "the kernel's log says why: dmesg | grep verity")
	}
	return mapperHint(err)
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// mapperHint says what to do if the kernel, or the caller, lacks something.
func mapperHint(err error) error {
	switch {
	case errors.Is(err, devmapper.ErrNoDeviceMapper):
		return ui.Hinted(err, "load it: modprobe dm-mod")
	case errors.Is(err, devmapper.ErrNoTarget):
		return ui.Hinted(err, "load it: modprobe dm-verity")
	case errors.Is(err, devmapper.ErrNoLoop):
		return ui.Hinted(err, "files need them: modprobe loop")
	case errors.Is(err, unix.EBUSY):
		return ui.Hinted(err, "somebody has it open or mounted; --deferred removes it as soon as nobody has")
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return ui.Hinted(err, "only root can do this")
	}
	return err
}
