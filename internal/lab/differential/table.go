//go:build linux

package main

import (
	"slices"
	"strings"

	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/lab/scenarios/transcript"
)

// entry is a difference that is as it must be. The lines that it is about are
// pinned down as narrowly as the reason allows, and it must match something in each
// configuration that it names.
type entry struct {
	name string
	// in names the configurations.
	in []string
	// why is the reason: a kernel's release, or a section of the documents.
	why   string
	match func(pair) bool
}

// pair is a line of the reference and one of a configuration that differ; all of the
// reference is there to look up others.
type pair struct {
	reference  indexed
	want, have *transcript.Line
}

// table is the whole list.
func table() []entry {
	return []entry{
		{
			name: "writes of nothing", in: []string{"b", "c", "e"},
			why: "FUSE does not pass on a write of no bytes; it succeeds (LIMITATIONS, the control tree).",
			match: func(p pair) bool {
				return p.have.Got == "ok" && (strings.HasPrefix(p.want.What, `"" to `) || p.want.What == "empty")
			},
		},
		{
			name: "seek", in: []string{"b", "c", "e"},
			why:   "FUSE seeks in any file by itself; securityfs answers ESPIPE (LIMITATIONS, the control tree).",
			match: func(p pair) bool { return p.want.What == "seek" && p.want.Got == "ESPIPE" && p.have.Got == "ok" },
		},
		{
			name: "compressed module", in: []string{"c"},
			why: "Debian's 6.1 cannot decompress modules (MODULE_DECOMPRESS), which it finds out after the file was judged: the " +
				"records must be the same.",
			match: func(p pair) bool {
				return strings.HasSuffix(p.want.What, ", module, compressed") && p.have.Got == "ENOTSUP" && slices.Equal(p.want.Records, p.have.Records)
			},
		},
		{
			name: "zram dictionary", in: []string{"c"},
			why: "Dictionaries for zram came in 6.12 (algorithm_params).",
			match: func(p pair) bool {
				return strings.HasSuffix(p.want.What, ", zram dictionary") && p.have.Got == "ENOENT" && len(p.have.Records) == 0
			},
		},
		{
			name: "overlay mprotect", in: []string{"c"},
			why: "Before 6.8 (commit def3ae83da02, fs: store real path instead of fake path in backing file f_path) a mapping of " +
				"an overlay's file keeps the overlay's file, so mprotect sees the superblock that mmap sees; since then it sees " +
				"the layer's (section 2.7 of the semantics). It must be judged as the reference judges mmap, and recorded with " +
				"the overlay's path; device and inode are the layer's.",
			match: overlayProtect,
		},
		{
			name: "errno of zram", in: []string{"d"},
			why: "Later than 6.12 zram came to answer what reading a dictionary answers, instead of EINVAL for all. The records " +
				"must be the same.",
			match: func(p pair) bool {
				return strings.HasSuffix(p.want.What, ", zram dictionary") && p.want.Got == "EINVAL" && slices.Equal(p.want.Records, p.have.Records)
			},
		},
		{
			name: "more spellings of truth", in: []string{"d"},
			why: "Between 6.12 and 7.3 the kernel's kstrtobool() came to take words that begin with e and d, for enable and " +
				"disable.",
			match: func(p pair) bool { return spelling(p.want.What) && p.want.Got == "EINVAL" && p.have.Got == "ok" },
		},
		{
			name: "spellings of 6.12", in: []string{"e"},
			why: "The tree of iped takes the spellings of 6.12 on every kernel, so that a script means the same everywhere " +
				"(LIMITATIONS, the control tree).",
			match: func(p pair) bool { return spelling(p.want.What) && p.want.Got == "ok" && p.have.Got == "EINVAL" },
		},
		{
			name: "no record of unreadable memory", in: []string{"e"},
			why: "FUSE copies what is written before iped hears of it: the writer gets EFAULT all the same, and there is no " +
				"record of the failure (LIMITATIONS, the control tree).",
			match: func(p pair) bool {
				return p.want.What == "message from nowhere" && p.want.Got == "EFAULT" && p.have.Got == "EFAULT" && len(p.have.Records) == 0
			},
		},
		{
			name: "failed loads are recorded", in: []string{"d"},
			why: "Since 6.16 a policy that cannot be loaded leaves a record 1422 with res=0 and the errno of the write. " +
				"All other records must be the reference's.",
			match: failureRecorded,
		},
		{
			name: "AT_EXECVE_CHECK", in: []string{"d"},
			why: "Since 6.14 execveat knows AT_EXECVE_CHECK, and since 6.19 IPE judges it, by hook BPRM_CREDS_FOR_EXEC. " +
				"It must be judged as the reference judges execve of the file.",
			match: checkJudged,
		},
	}
}

// is reports whether the reference says the same of something else as have says;
// records may differ in what change replaces.
func (p pair) is(what string, results map[string]string, change ...string) bool {
	l := p.reference[transcript.Line{Scenario: p.want.Scenario, What: what}.Key()]
	if l == nil {
		return false
	}
	twin := transcript.Line{Got: l.Got}
	if r, ok := results[l.Got]; ok {
		twin.Got = r
	}
	for _, r := range l.Records {
		twin.Records = append(twin.Records, strings.NewReplacer(change...).Replace(r))
	}
	return equal(&twin, p.have)
}

// overlayProtect: mprotect of an overlay's file is judged as mmap of it. The record has
// the overlay's path as well; the inode is the layer's in any case.
func overlayProtect(p pair) bool {
	subject, act, ok := cutLast(p.want.What, ", mprotect")
	if !ok || !strings.Contains(subject, "overlay") || act == " again" {
		return false
	}
	return p.is(subject+", mmap", nil, "ipe_hook=MMAP", "ipe_hook=MPROTECT", `dev="overlay"`, layerOf(p.want, p.have))
}

// cutLast is strings.Cut around the last separator.
func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// layerOf is the device that a record of the lines names: the reference's, if it has one.
func layerOf(lines ...*transcript.Line) string {
	for _, l := range lines {
		for _, r := range l.Records {
			if i := strings.Index(r, ` dev="`); i >= 0 {
				dev, _, _ := strings.Cut(r[i+1:], " ")
				return dev
			}
		}
	}
	return ""
}

// spelling: a switch is set by a word that newer kernels know.
func spelling(what string) bool {
	return strings.HasPrefix(what, `"enable" to `) || strings.HasPrefix(what, `"disable" to `)
}

// failureRecorded: there are records of failures, and nothing else is different.
func failureRecorded(p pair) bool {
	l := *p.have
	l.Records = slices.DeleteFunc(slices.Clone(l.Records), func(r string) bool {
		return strings.HasPrefix(r, "1422 policy_name=? policy_version=? policy_digest=? ") && strings.Contains(r, " res=0 errno=-")
	})
	return len(l.Records) < len(p.have.Records) && equal(p.want, &l)
}

// checkJudged: asking whether a file may be executed is judged as executing it.
func checkJudged(p pair) bool {
	subject, ok := strings.CutSuffix(p.want.What, ", execveat check")
	return ok && p.want.Got == "EINVAL" && p.is(subject+", exec", map[string]string{"ENOENT": "ok"},
		"ipe_hook=BPRM_CHECK", "ipe_hook=BPRM_CREDS_FOR_EXEC")
}

// layerUnseen: before 6.8, mprotect of an overlay's file does not see the layer.
func layerUnseen(subject, act string, e *eval.Evidence) {
	if subject == "overlay on initramfs" && strings.HasPrefix(act, "mprotect") {
		e.BootVerified = false
	}
}
