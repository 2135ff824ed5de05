// Package abi asks the running kernel, feature by feature, whether it can
// do what the engines need, and says what to change where it cannot.
//
// A feature is a named probe with a minimum version. The version explains an
// absence; it never decides. Distributions back-port and switch off, so each
// probe looks at the thing itself: a file of securityfs, procfs or sysfs, or a
// type in the kernel's BTF. What no file says is tried: Examine loads small
// programs and throws them away. Nothing is mounted, attached or kept. Of mounts it reads
// the list, and notices changes.
package abi

import (
	"errors"
	"fmt"
	"strings"
)

// State is the outcome of a probe.
type State string

// The states. Unknown means that the caller was not allowed to look.
const (
	Yes     State = "yes"
	No      State = "no"
	Unknown State = "unknown"
)

// Kind groups features in a report.
type Kind string

// The kinds. An Engine feature is a precondition of enforcing at all, a Property
// is one word of the policy language, an Aid is what properties rest on, and a
// Neighbour is something else in this kernel that enforces as well.
const (
	Engine    Kind = "engine"
	Property  Kind = "property"
	Aid       Kind = "aid"
	Neighbour Kind = "neighbour"
)

// Feature is one thing that the kernel may offer.
type Feature struct {
	Name  string `json:"name"`
	Kind  Kind   `json:"kind"`
	State State  `json:"state"`
	// Min is the first kernel, MAJOR.MINOR, in which it can be expected.
	Min string `json:"min_kernel"`
	// Need says what it is needed for.
	Need string `json:"need"`
	// Detail says what was seen.
	Detail string `json:"detail"`
	// Fix says what to do to get it; empty if it is there or cannot be had.
	Fix string `json:"fix"`
}

// Report is the outcome of all probes.
type Report struct {
	// Release is the kernel's own, as uname(2) gives it.
	Release  string    `json:"release"`
	Features []Feature `json:"features"`
}

// Feature returns the named feature; ok is false if there is no such probe.
func (r Report) Feature(name string) (f Feature, ok bool) {
	for _, f := range r.Features {
		if f.Name == name {
			return f, true
		}
	}
	return Feature{}, false
}

// Err returns nil if nothing stands against the BPF engine, otherwise one
// [UnsupportedError] for each Engine feature that is absent, joined. Features
// whose state is unknown do not count as absent.
func (r Report) Err() error {
	var errs []error
	for _, f := range r.Features {
		if f.Kind == Engine && f.State == No {
			errs = append(errs, &UnsupportedError{Feature: f.Name, Min: f.Min, Detail: f.Detail, Fix: f.Fix})
		}
	}
	return errors.Join(errs...)
}

// Usable is Err, and also an [UnsupportedError] if it is not known whether the
// kernel would call BPF programs at all: an engine must not take that on trust.
func (r Report) Usable() error {
	if err := r.Err(); err != nil {
		return err
	}
	if f, ok := r.Feature(LSMList); ok && f.State == Unknown {
		return &UnsupportedError{Feature: f.Name, Min: f.Min, Detail: f.Detail, Fix: f.Fix}
	}
	return nil
}

// UnsupportedError says that this kernel, as configured or booted, lacks a feature.
type UnsupportedError struct {
	// Feature is the name of the probe.
	Feature string
	// Min is the first kernel that has it, MAJOR.MINOR; may be empty.
	Min string
	// Detail says what was seen.
	Detail string
	// Fix says what to change; may be empty.
	Fix string
}

// Error names feature, observation and minimum kernel; the fix is left to Hint.
func (e *UnsupportedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "kernel feature %s", e.Feature)
	if e.Detail != "" {
		b.WriteString(": " + e.Detail)
	}
	if e.Min != "" {
		b.WriteString(" (needs Linux " + e.Min + " or later)")
	}
	return b.String()
}

// Hint returns the fix, for whoever prints the error.
func (e *UnsupportedError) Hint() string { return e.Fix }
