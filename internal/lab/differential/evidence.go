//go:build linux

package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/lab/scenarios/transcript"
	"github.com/ipe-linux/ipe/policy"
)

// facts knows what is true of each subject, from the host's own tools: a witness that
// never saw a guest.
type facts struct {
	subjects map[string]eval.Evidence
}

// both stands for the root hash that each guest makes anew; in transcripts it is a word.
var both = strings.Repeat("b0", 32)

func (im *images) facts(ctx context.Context) (*facts, error) {
	sums := map[string]digest.Digest{}
	for name, root := range map[string]string{"volume": im.roots["volume"], "other": im.roots["other"], "both": both} {
		sum, err := hex.DecodeString(root)
		if err != nil {
			return nil, err
		}
		sums[name] = digest.New("sha256", sum)
	}
	for _, name := range []string{"sealed", "resealed", "signed"} {
		out, err := hostTool(ctx, "fsverity", "digest", "--compact", im.path("files/"+name))
		if err != nil {
			return nil, err
		}
		if sums[name], err = digest.Parse("sha256:" + strings.TrimSpace(out)); err != nil {
			return nil, fmt.Errorf("read digest of %s: %w", name, err)
		}
	}
	volume := eval.Evidence{RootHash: sums["volume"]}
	signedVolume := eval.Evidence{RootHash: sums["volume"], RootHashSigned: true}
	sealed := eval.Evidence{FileDigest: sums["sealed"]}
	signed := eval.Evidence{FileDigest: sums["signed"], FileDigestSigned: true}
	sealedOnVolume := eval.Evidence{RootHash: sums["both"], FileDigest: sums["sealed"]}
	return &facts{map[string]eval.Evidence{
		"initramfs":                   {BootVerified: true},
		"tmpfs":                       {},
		"memfd":                       {},
		"volume":                      volume,
		"other volume":                {RootHash: sums["other"]},
		"signed volume":               signedVolume,
		"plain":                       {},
		"sealed":                      sealed,
		"resealed":                    {FileDigest: sums["resealed"]},
		"signed":                      signed,
		"sealed on volume":            sealedOnVolume,
		"plain on volume":             {RootHash: sums["both"]},
		"overlay on volume":           volume,
		"overlay on overlay":          volume,
		"overlay on sealed":           sealed,
		"overlay on signed":           signed,
		"overlay on plain":            {},
		"overlay copied up":           {},
		"overlay on initramfs":        {},
		"overlay on sealed on volume": sealedOnVolume,
		"overlay on signed volume":    signedVolume,
		"no file":                     {},
	}}, nil
}

// of gives the facts that an act on a subject meets in a configuration.
func (f *facts) of(c configuration, subject, act string) (eval.Evidence, error) {
	e, ok := f.subjects[subject]
	if !ok {
		return e, fmt.Errorf("no facts of %q", subject)
	}
	// mprotect sees the layer of an overlay, and with it the initramfs.
	if subject == "overlay on initramfs" && strings.HasPrefix(act, "mprotect") {
		e.BootVerified = true
	}
	if c.lacks != nil {
		c.lacks(subject, act, &e)
	}
	return e, nil
}

// operations are what the acts ask for, those on no file included.
func operation(act string) policy.Op {
	switch act {
	case "finit_module", "init_module":
		return policy.OpKModule
	case "kexec_file_load", "kexec_load":
		return policy.OpKexecImage
	case "IMA policy":
		return policy.OpPolicy
	}
	return policy.OpExecute
}

// step is a policy of the walk with its mode.
type step struct {
	policy  *policy.Policy
	enforce bool
}

// readStep reads the line of a walk that says which policy decides, and how.
func readStep(l *transcript.Line) (step, error) {
	mode, text, _ := strings.Cut(strings.ReplaceAll(l.Got, "BOTH", both), "; ")
	p, err := policy.Parse([]byte("policy_name=walk policy_version=0.0.0\n" + strings.ReplaceAll(text, "; ", "\n") + "\n"))
	if err != nil {
		return step{}, fmt.Errorf("read %s: %w", l.Scenario, err)
	}
	return step{policy: p, enforce: strings.Contains(mode, "enforce=1")}, nil
}

// demands reports whether package eval demands that an act is refused.
func (s step) demands(c configuration, f *facts, subject, act string) (denied bool, err error) {
	e, err := f.of(c, subject, act)
	if err != nil {
		return false, err
	}
	d := eval.Decide(s.policy, eval.Event{Op: operation(act), Evidence: e})
	return s.enforce && d.Action == policy.Deny && c.judges(act), nil
}

// judges reports whether the act is judged at all.
func (c configuration) judges(act string) bool {
	return act != "mprotect again" && !slices.Contains(c.unjudged, act)
}

// witness holds the decisions of a walk against package eval, and returns their
// number and those that are not what it demands.
func witness(c configuration, f *facts, lines []transcript.Line) (n int, wrong []difference, err error) {
	var current step
	for i := range lines {
		l := &lines[i]
		if !strings.HasPrefix(l.Scenario, "walk ") {
			continue
		}
		if l.What == policyLine {
			if current, err = readStep(l); err != nil {
				return n, wrong, err
			}
			continue
		}
		subject, act, ok := strings.Cut(l.What, ", ")
		if !ok || act == "kexec_load" { // with secure boot, IMA refuses that in any case
			continue
		}
		denied, err := current.demands(c, f, subject, act)
		if err != nil {
			return n, wrong, err
		}
		n++
		if denied != (l.Got == "EACCES") {
			demanded := "package eval demands another result than EACCES"
			if denied {
				demanded = "package eval demands EACCES"
			}
			wrong = append(wrong, difference{Reference: &transcript.Line{Scenario: l.Scenario, What: l.What, Got: demanded}, Got: l})
		}
	}
	return n, wrong, nil
}
