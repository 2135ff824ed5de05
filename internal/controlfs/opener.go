package controlfs

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/control"
)

// initialUserNS is the inode number of the initial user namespace, which is the same
// on every machine (PROC_USER_INIT_INO in the kernel's include/linux/proc_ns.h).
const initialUserNS = 0xEFFFFFFD

// openerMayChange reports whether the thread that is in open(2) has CAP_MAC_ADMIN in
// the initial user namespace. It waits for this answer, so its number is its own. One
// that cannot be looked at (another PID namespace) may not; the number is 0 then.
func openerMayChange(ctx context.Context) bool {
	caller, ok := fuse.FromContext(ctx)
	return ok && caller.Pid != 0 && inInitialUserNS(caller.Pid) && hasMACAdmin(caller.Pid)
}

// writer is who the thread acts for that is in write(2).
func writer(ctx context.Context) audit.Subject {
	caller, ok := fuse.FromContext(ctx)
	if !ok {
		return audit.Subject{AUID: audit.Unset, Session: audit.Unset}
	}
	return control.SubjectOf(caller.Pid)
}

func inInitialUserNS(tid uint32) bool {
	var st unix.Stat_t
	err := unix.Stat(fmt.Sprintf("/proc/%d/ns/user", tid), &st)
	return err == nil && st.Ino == initialUserNS
}

func hasMACAdmin(tid uint32) bool {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", tid))
	if err != nil {
		return false
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if v, ok := strings.CutPrefix(sc.Text(), "CapEff:"); ok {
			caps, err := strconv.ParseUint(strings.TrimSpace(v), 16, 64)
			return err == nil && caps&(1<<unix.CAP_MAC_ADMIN) != 0
		}
	}
	return false
}
