//go:build linux

// Package transcript has what a run of scenarios observed, a line each, so that two runs can
// be compared.
package transcript

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strings"
)

// A transcript's lines have the fields scenario, what was tried, result and, for
// each record, one more. Fields are separated by separator, which no record holds:
// untrusted strings are hex as soon as they have a blank in them.
const separator = "\t"

// lastLine ends a whole transcript. It may stand on a disk, which goes on behind it.
const lastLine = "end of transcript\n"

// Writer writes a transcript.
type Writer struct {
	file *os.File
	w    *bufio.Writer
}

// Create begins a transcript in a file, or on a disk.
func Create(name string) (*Writer, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("write transcript: %w", err)
	}
	return &Writer{file: f, w: bufio.NewWriterSize(f, 1<<20)}, nil
}

// Write writes a line.
func (t *Writer) Write(scenario, what, got string, records ...string) error {
	fields := append([]string{scenario, what, got}, records...)
	if _, err := t.w.WriteString(strings.Join(fields, separator) + "\n"); err != nil {
		return fmt.Errorf("write transcript: %w", err)
	}
	return nil
}

// Flush writes what is held back, for one that is not whole.
func (t *Writer) Flush() error { return t.w.Flush() }

// Close ends a transcript that is whole.
func (t *Writer) Close() error {
	if _, err := t.w.WriteString(lastLine); err != nil {
		return fmt.Errorf("write transcript: %w", err)
	}
	if err := t.w.Flush(); err != nil {
		return fmt.Errorf("write transcript: %w", err)
	}
	if err := t.file.Sync(); err != nil {
		return fmt.Errorf("write transcript: %w", err)
	}
	return t.file.Close()
}

// Line is one observation.
type Line struct {
	Scenario, What, Got string
	Records             []string
}

// String is the line as the transcript has it.
func (l Line) String() string {
	return strings.Join(append([]string{l.Scenario, l.What, l.Got}, l.Records...), separator)
}

// Key says what was tried.
func (l Line) Key() string { return l.Scenario + separator + l.What }

// Read reads back what a guest wrote.
func Read(data []byte) ([]Line, error) {
	text, _, whole := bytes.Cut(data, []byte("\n"+lastLine))
	if !whole {
		text, _, _ = bytes.Cut(data, []byte{0})
		last := text[max(0, bytes.LastIndexByte(bytes.TrimRight(text, "\n"), '\n')):]
		return nil, fmt.Errorf("read transcript: it is not whole; it ends with %q", last)
	}
	var lines []Line
	for line := range bytes.SplitSeq(text, []byte("\n")) {
		f := strings.Split(string(line), separator)
		if len(f) < 3 {
			return nil, fmt.Errorf("read transcript: line %d has %d fields: %q", len(lines)+1, len(f), line)
		}
		lines = append(lines, Line{Scenario: f[0], What: f[1], Got: f[2], Records: f[3:]})
	}
	return lines, nil
}
