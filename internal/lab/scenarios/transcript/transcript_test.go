//go:build linux && !guest

package transcript

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTranscript(t *testing.T) {
	name := filepath.Join(t.TempDir(), "transcript")
	// It is written to a disk that goes on behind it.
	if err := os.WriteFile(name, make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	w, err := Create(name)
	if err != nil {
		t.Fatal(err)
	}
	want := []Line{{Scenario: "s", What: "exec", Got: "ok"}, {Scenario: "s", What: "mmap", Got: "EACCES", Records: []string{"1420 a", "1420 b"}}}
	for _, l := range want {
		if err := w.Write(l.Scenario, l.What, l.Got, l.Records...); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Read(data)
	for i := range got {
		if len(got[i].Records) == 0 {
			got[i].Records = nil
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	cut := strings.Replace(string(data), lastLine, "", 1)
	if _, err := Read([]byte(cut)); err == nil || !strings.Contains(err.Error(), `ends with "\ns\tmmap`) {
		t.Errorf("a transcript that is cut: %v", err)
	}
}

// FuzzRead: whatever a guest leaves behind, a line that is read prints as
// it was written.
func FuzzRead(f *testing.F) {
	f.Add([]byte("s\texec\tok\ns\tmmap\tEACCES\t1420 a\n" + lastLine))
	f.Add([]byte("s\texec\n" + lastLine))
	f.Add([]byte(lastLine))
	f.Add([]byte("s\texec\tok\n\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		lines, err := Read(data)
		if err != nil {
			return
		}
		var text strings.Builder
		for _, l := range lines {
			text.WriteString(l.String() + "\n")
		}
		if !strings.HasPrefix(string(data), text.String()) {
			t.Errorf("%q reads as %q", data, text.String())
		}
	})
}
