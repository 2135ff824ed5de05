package fs

import "github.com/hanwen/go-fuse/v2/fuse"

// sendfile(2) and splice(2) are EINVAL in securityfs, and programs that get that read
// instead. Since Linux 6.5 FUSE answers them from the page cache, also for files that are
// opened for direct reads; and the cache asks the server for nothing behind the size, so a
// file of size 0 seems to be empty. Therefore the kernel keeps another size than the one
// that stat(2) shows, and reads for the cache are refused. Newer kernels, 7.3 for one, make
// EIO of every refusal. To hand out the content instead would be no better: what the cache
// has of it lasts, and the size that goes with it can be lost to a stat(2) at that moment.
// Before 6.5 both calls make direct reads, and get the content.

// keptSize is behind everything that can be read, and behind the longest write.
const keptSize = maxWrite

// keepSize has the kernel show the attributes that are just being answered, and keep those
// it has: a notice that came between question and answer makes the answer an old one. That
// it no longer knows the inode is no loss.
func (n *inode) keepSize() { _ = n.NotifyContent(-1, 0) }

// uncached refuses what the page cache reads.
type uncached struct{ fuse.RawFileSystem }

// Read implements [fuse.RawFileSystem]. The kernel names the owner of locks in reads that
// a process makes, and not in those for the page cache.
func (u uncached) Read(cancel <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	if in.ReadFlags&fuse.READ_LOCKOWNER == 0 {
		return nil, fuse.EINVAL
	}
	return u.RawFileSystem.Read(cancel, in, buf)
}
