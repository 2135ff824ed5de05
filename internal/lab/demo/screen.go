//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/lab/demo/row"
)

// screen prints progress and rows.
type screen struct {
	w      io.Writer
	colour bool
	// rows, if set, gets the rows as JSON instead.
	rows    io.Writer
	begin   time.Time
	section string
}

func newScreen(w io.Writer) *screen {
	return &screen{w: w, colour: isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb", begin: time.Now()}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// Parameters of the SGR escape.
const (
	bold  = "1"
	dim   = "2"
	red   = "31"
	green = "32"
)

func (s *screen) paint(style, text string) string {
	if !s.colour || text == "" {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

func (s *screen) printf(format string, args ...any) {
	fmt.Fprintf(s.w, format, args...)
}

// step begins a part of the demonstration.
func (s *screen) step(format string, args ...any) {
	s.printf("\n%s\n", s.paint(bold, fmt.Sprintf(format, args...)))
	s.section = ""
}

// detail says what is being done, and when.
func (s *screen) detail(format string, args ...any) {
	s.printf("%s\n", s.paint(dim, fmt.Sprintf("  %5.1f s  ", time.Since(s.begin).Seconds())+fmt.Sprintf(format, args...)))
}

// boot is a detail after which the rows have their header again.
func (s *screen) boot(format string, args ...any) {
	s.printf("\n")
	s.detail(format, args...)
	s.section = ""
}

// policy shows the text of the policy.
func (s *screen) policy(text []byte) {
	s.printf("\n")
	for line := range strings.Lines(string(text)) {
		s.printf("    %s", line)
	}
}

// output shows a command that was run in the guest.
func (s *screen) output(o row.Output) {
	s.printf("\n  %s\n", s.paint(bold, "# "+o.Command))
	for line := range strings.Lines(o.Text) {
		for i, part := range fold(strings.TrimRight(line, "\n"), tableWidth) {
			s.printf("  %*s%s\n", min(i, 1)*hanging, "", part)
		}
	}
	s.section = ""
}

// Widths of the columns; with gaps, margin and mark, a row is 119 wide.
var (
	widths     = [4]int{39, 11, 15, 43}
	comparison = [4]int{36, 16, 12, 44}
)

// tableWidth is that of a row without its margin.
const tableWidth = 117

// hanging is the indent of a folded line, that of the values of ipe status.
const hanging = 11

// row prints one row, its heading first if that is new.
func (s *screen) row(r row.Row) {
	if s.rows != nil {
		json.NewEncoder(s.rows).Encode(r) //nolint:errcheck // nobody is left to tell
		return
	}
	compared := r.Compat != ""
	if r.Section != s.section {
		s.heading(r.Section, compared)
	}
	mark, style := "✓", green
	if !r.OK {
		mark, style = "✗", red
	}
	if compared {
		s.cells(mark, style, comparison, r.Tried, r.Own, r.Compat, r.Answered+", "+shorten(r))
	} else {
		s.cells(mark, style, widths, r.Tried, r.Policy, r.Answered, shorten(r))
	}
	if r.Why != "" {
		for _, line := range wrap(r.Why, 110) {
			s.printf("      %s\n", s.paint(red, line))
		}
	}
}

// heading begins a section; one that compares has columns of its own.
func (s *screen) heading(section string, compared bool) {
	switch {
	case compared:
		s.printf("\n")
		s.cells("", "", comparison, "tried", "kernel's own IPE", "iped, compat", "iped --profile strict")
		s.printf("  %s\n", strings.Repeat("─", tableWidth))
	case s.section == "":
		s.printf("\n")
		s.cells("", "", widths, "tried", "policy says", "kernel answered", "deciding rule")
		s.printf("  %s\n", strings.Repeat("─", tableWidth))
	}
	s.printf("  %s\n", s.paint(bold, section))
	s.section = section
}

// cells prints columns, wrapped, and a mark at the end of the first line.
func (s *screen) cells(mark, style string, widths [4]int, cells ...string) {
	var columns [len(widths)][]string
	height := 0
	for i, c := range cells {
		columns[i] = wrap(c, widths[i])
		height = max(height, len(columns[i]))
	}
	for y := range height {
		var line strings.Builder
		for i, col := range columns {
			text := ""
			if y < len(col) {
				text = col[y]
			}
			fmt.Fprintf(&line, "  %-*s", widths[i], text)
		}
		if y == 0 && mark != "" {
			s.printf("%s  %s\n", line.String(), s.paint(style, mark))
			continue
		}
		s.printf("%s\n", strings.TrimRight(line.String(), " "))
	}
}

// wrap breaks a text at spaces; a word that is too long stands alone.
func wrap(text string, width int) []string {
	var lines []string
	for _, word := range strings.Fields(text) {
		if n := len(lines); n > 0 && utf8.RuneCountInString(lines[n-1]+" "+word) <= width {
			lines[n-1] += " " + word
		} else {
			lines = append(lines, word)
		}
	}
	return lines
}

// fold is wrap for a line that is too long; others keep their spaces.
func fold(line string, width int) []string {
	if utf8.RuneCountInString(line) <= width {
		return []string{line}
	}
	label, _, _ := strings.Cut(line, " ")
	parts := wrap(strings.TrimSpace(strings.TrimPrefix(line, label)), width-hanging)
	parts[0] = fmt.Sprintf("%-*s", hanging, label) + parts[0]
	return parts
}

var hexDigits = regexp.MustCompile(`([0-9a-f]{4})[0-9a-f]{28,}`)

// shorten cuts digests, and what all deciding rules have in common; of the reason
// for a refusal it keeps the last cause. JSON has all of it.
func shorten(r row.Row) string {
	if r.Policy == "refuse" {
		return r.Rule[strings.LastIndex(r.Rule, ": ")+1:]
	}
	return hexDigits.ReplaceAllString(strings.TrimPrefix(r.Rule, "op=EXECUTE "), "$1…")
}

// summary is the last line.
func (s *screen) summary(rows []row.Row) {
	bad := 0
	for _, r := range rows {
		if !r.OK {
			bad++
		}
	}
	took := time.Since(s.begin).Round(time.Second)
	if bad > 0 {
		s.printf("\n%s\n", s.paint(red, fmt.Sprintf("%d of %d are NOT as demanded (%v)", bad, len(rows), took)))
		return
	}
	s.printf("\n%s\n", s.paint(green, fmt.Sprintf("all %d are as demanded (%v)", len(rows), took)))
}
