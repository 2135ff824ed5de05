package daemon

import (
	"bufio"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// forgetProgram lets go of the pages of the program's own file, most of which only the
// start has used. The kernel keeps them in the page cache while there is room, and maps
// again those that are needed. Failing makes iped larger and is no error.
func forgetProgram() {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer f.Close()
	for _, m := range unwritable(f, self) {
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, m.start, m.end-m.start, unix.MADV_DONTNEED)
	}
}

// span is a range of addresses.
type span struct{ start, end uintptr }

// unwritable finds, in what /proc/PID/maps says (proc(5)), the mappings of a file that
// nothing can have been written to: letting go of them loses nothing.
func unwritable(maps io.Reader, file string) (all []span) {
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		// start-end perms offset dev inode, and the path behind blanks
		fields := strings.Fields(lines.Text())
		const fixed = 5
		if len(fields) <= fixed || !strings.HasSuffix(lines.Text(), " "+file) || strings.Contains(fields[1], "w") {
			continue
		}
		from, to, _ := strings.Cut(fields[0], "-")
		start, err := strconv.ParseUint(from, 16, strconv.IntSize)
		if err != nil {
			continue
		}
		end, err := strconv.ParseUint(to, 16, strconv.IntSize)
		if err != nil || end <= start {
			continue
		}
		all = append(all, span{uintptr(start), uintptr(end)})
	}
	return all
}
