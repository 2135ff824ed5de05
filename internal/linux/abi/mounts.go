package abi

import (
	"iter"
	"strings"
)

// Mount is one line of mountinfo: see proc_pid_mountinfo(5).
type Mount struct {
	// Device is the number of the file system, MAJOR:MINOR.
	Device string
	// Point is where it is mounted, as the process's root sees it.
	Point string
	// Type is that of the file system, and Source what it is of.
	Type, Source string
}

// Mounts reads mountinfo. The last mount of a place is the one that is seen there. What is
// no such line is left out.
//
// Blanks alone are between the fields: other white space may be part of a name. Blanks,
// tabs, line ends and # of a name are numbers, as is the backslash before them.
func Mounts(mountinfo string) iter.Seq[Mount] {
	names := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\043`, "#", `\134`, `\`)
	return func(yield func(Mount) bool) {
		for line := range strings.Lines(mountinfo) {
			head, tail, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " - ")
			h, t := strings.Split(head, " "), strings.Split(tail, " ")
			if len(h) < 5 || len(t) < 2 {
				continue
			}
			if !yield(Mount{Device: h[2], Point: names.Replace(h[4]), Type: t[0], Source: names.Replace(t[1])}) {
				return
			}
		}
	}
}

// MountedAt is what is mounted last at a place; it is empty if nothing is.
func MountedAt(mountinfo, place string) (last Mount) {
	for m := range Mounts(mountinfo) {
		if m.Point == place {
			last = m
		}
	}
	return last
}
