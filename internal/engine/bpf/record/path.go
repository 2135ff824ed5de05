package record

import "fmt"

// pathKind says how a path is spelt: enum path_kind of bpf/path.h.
type pathKind uint8

const (
	pathWalked pathKind = iota
	pathDeleted
	pathMemory
	pathAnonInode
	pathPipe
	pathSocket
	pathNamespace
	pathProcess
	pathDMABuffer
	pathTooLong
	pathUnstable
)

// What stands for a path that could not be made out, as in the kernel's records.
const (
	tooLong = "<too_long>"
	unknown = "<no_memory>"
)

const (
	// pathRoom is what the kernel's records have for a path, a final NUL included.
	pathRoom = 4107
	// shortRoom is the same for names that a file system makes up.
	shortRoom = 64
)

// spellPath makes the path of a kernel's record from what the program found: the
// names that it met, or the name of what has no place in a tree of files.
func spellPath(kind pathKind, found []byte, inode uint64) string {
	switch kind {
	case pathWalked:
		return fit(orRoot(found), pathRoom)
	case pathDeleted:
		return fit(orRoot(found)+" (deleted)", pathRoom)
	case pathMemory:
		return fit("/"+string(found)+" (deleted)", pathRoom)
	case pathAnonInode:
		return fit("anon_inode:"+string(found), shortRoom)
	case pathPipe:
		return fmt.Sprintf("pipe:[%d]", inode)
	case pathSocket:
		return fmt.Sprintf("socket:[%d]", inode)
	case pathNamespace:
		return fmt.Sprintf("%s:[%d]", text(found), inode)
	case pathProcess:
		return "anon_inode:[pidfd]"
	case pathDMABuffer:
		return "/dmabuf:" + text(found)
	case pathTooLong:
		return tooLong
	}
	return unknown
}

// orRoot: the root itself, and a file outside of what is mounted, have no name.
func orRoot(names []byte) string {
	if len(names) == 0 {
		return "/"
	}
	return string(names)
}

func fit(path string, room int) string {
	if len(path) >= room {
		return tooLong
	}
	return path
}
