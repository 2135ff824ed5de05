package api

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/ipe-linux/ipe/audit"
)

// A kernel has no record of merged decisions. So their number is in a record of another
// type, that of trusted applications, which no reader takes for one decision more. The
// number comes first, for what follows has names that others chose.
const (
	mergedBegin = "ipe_merged="
	mergedType  = " ipe_type=1420 "
	trustedApp  = "type=TRUSTED_APP msg="
	textBegin   = " msg='"
)

// MergedText is what stands between the quotes of msg='…' for n merged decisions.
func MergedText(g audit.Generation, r audit.Record, n uint64) []byte {
	return g.Append(fmt.Appendf(nil, "%s%d%s", mergedBegin, n, mergedType), r)
}

// AppendMerged appends that as a line of auditd's log, as if the process pid, without a
// login, had told it.
func AppendMerged(dst []byte, g audit.Generation, h audit.Header, r audit.Record, n uint64, pid int) []byte {
	ms := max(0, h.Time.UnixMilli())
	return fmt.Appendf(dst, "%saudit(%d.%03d:%d): pid=%d uid=0 auid=%d ses=%d%s%s'", trustedApp, ms/1000, ms%1000, h.Serial, pid,
		audit.Unset, audit.Unset, textBegin, MergedText(g, r, n))
}

// SplitMerged reads such a line: the line of the last of the decisions, and how many
// there were.
func SplitMerged(line string) (last string, n uint64, ok bool) {
	head, rest, found := strings.Cut(line, textBegin+mergedBegin)
	before, stamp, trusted := strings.Cut(head, trustedApp)
	stamp, _, stamped := strings.Cut(stamp, "): ")
	number, text, typed := strings.Cut(rest, mergedType)
	end := strings.LastIndexByte(text, '\'')
	if !found || !trusted || !stamped || !typed || end < 0 {
		return "", 0, false
	}
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil || n == 0 {
		return "", 0, false
	}
	return before + "type=UNKNOWN[1420] msg=" + stamp + "): " + text[:end], n, true
}
