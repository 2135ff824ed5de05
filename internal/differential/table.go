//go:build linux

package main

import (
	"slices"
	"strings"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/engine/enginetest"
	"github.com/ipe-linux/ipe/policy"
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
	configuration configuration
	reference     indexed
	facts         *facts
	want, have    *enginetest.Line
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
			name: "unsigned volume", in: []string{"c"},
			why: "Linux 6.1 verifies root hashes against its builtin and secondary keyrings alone; the platform keyring came in " +
				"6.7 (DM_VERITY_VERIFY_ROOTHASH_SIG_PLATFORM_KEYRING). The volume is opened without its signature there and " +
				"must be judged as the reference judges the same volume without one.",
			match: like("signed volume", "volume"),
		},
		{
			name: "no fsverity_signature", in: []string{"c"},
			why: "Before 6.12 there is no hook that tells of a signature of fs-verity (inode_setintegrity), and the property is " +
				"false in both forms. The decision must be what package eval demands with that property missing.",
			match: asDemanded("fsverity_signature"),
		},
		{
			name: "facts not found", in: []string{"e"},
			why: "This kernel keeps the digests of fs-verity, and the layer of an overlay's file, where the engine does not look " +
				"yet. The decision must be what package eval demands without them.",
			match: asDemanded(""),
		},
		{
			name: "AT_EXECVE_CHECK is not judged", in: []string{"e"},
			why:   "The engine has no program on bprm_creds_for_exec yet: asking whether a file may be executed succeeds.",
			match: func(p pair) bool { return strings.HasSuffix(p.want.What, ", execveat check") && p.have.Got == "ok" },
		},
		{
			name: "overlay mprotect", in: []string{"c"},
			why: "Before 6.8 (commit def3ae83da02, fs: store real path instead of fake path in backing file f_path) a mapping of " +
				"an overlay's file keeps the overlay's file, so mprotect sees the superblock that mmap sees; since then it sees " +
				"the layer's (section 2.7 of the semantics). It must be judged as the reference judges mmap.",
			match: overlayProtect,
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
	l := p.reference[enginetest.Line{Scenario: p.want.Scenario, What: what}.Key()]
	if l == nil {
		return false
	}
	twin := enginetest.Line{Got: l.Got}
	if r, ok := results[l.Got]; ok {
		twin.Got = r
	}
	for _, r := range l.Records {
		twin.Records = append(twin.Records, strings.NewReplacer(change...).Replace(r))
	}
	return p.configuration.equal(&twin, p.have)
}

// like explains lines about one subject that are as the reference's about another.
func like(subject, other string) func(pair) bool {
	return func(p pair) bool {
		return strings.Contains(p.want.What, subject) && p.is(strings.Replace(p.want.What, subject, other, 1), nil,
			"/volume/", "/signed/", "/overlay-volume/", "/overlay-signed/", `"dm-1"`, `"dm-3"`)
	}
}

// overlayProtect: mprotect of an overlay's file is judged as mmap of it.
func overlayProtect(p pair) bool {
	subject, act, ok := strings.Cut(p.want.What, ", mprotect")
	if !ok || !strings.Contains(subject, "overlay") || act == " again" {
		return false
	}
	return p.is(subject+", mmap", nil, "ipe_hook=MMAP", "ipe_hook=MPROTECT")
}

// failureRecorded: there are records of failures, and nothing else is different.
func failureRecorded(p pair) bool {
	l := *p.have
	l.Records = slices.DeleteFunc(slices.Clone(l.Records), func(r string) bool {
		return strings.HasPrefix(r, "1422 policy_name=? policy_version=? policy_digest=? ") && strings.Contains(r, " res=0 errno=-")
	})
	return len(l.Records) < len(p.have.Records) && p.configuration.equal(p.want, &l)
}

// checkJudged: asking whether a file may be executed is judged as executing it.
func checkJudged(p pair) bool {
	subject, ok := strings.CutSuffix(p.want.What, ", execveat check")
	return ok && p.want.Got == "EINVAL" && p.is(subject+", exec", map[string]string{"ENOENT": "ok"},
		"ipe_hook=BPRM_CHECK", "ipe_hook=BPRM_CREDS_FOR_EXEC")
}

// asDemanded: without the facts that are missing, package eval demands what was
// decided. The policy has to be one that asks for the property.
func asDemanded(property string) func(pair) bool {
	return func(p pair) bool {
		l := p.reference[enginetest.Line{Scenario: p.want.Scenario, What: policyLine}.Key()]
		subject, act, ok := strings.Cut(p.want.What, ", ")
		if l == nil || !ok || !strings.Contains(l.Got, property) {
			return false
		}
		s, err := readStep(l)
		if err != nil {
			return false
		}
		denied, err := s.demands(p.configuration, p.facts, subject, act)
		return err == nil && denied == (p.have.Got == "EACCES")
	}
}

// lacksOldest is what the engine cannot find out on Linux 6.1.
func lacksOldest(subject, act string, e *eval.Evidence) {
	e.Unavailable = policy.Keys(policy.FSVeritySignature)
	e.RootHashSigned = false // the volume was opened without its signature
	if subject == "overlay on initramfs" && strings.HasPrefix(act, "mprotect") {
		e.BootVerified = false
	}
}

// lacksNewest is what the engine does not find yet on the newest kernel.
func lacksNewest(subject, act string, e *eval.Evidence) {
	e.FileDigest = digest.Digest{}
	if strings.HasPrefix(subject, "overlay") && !strings.HasPrefix(act, "mprotect") {
		*e = eval.Evidence{}
	}
}
