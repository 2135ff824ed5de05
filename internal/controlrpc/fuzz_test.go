package controlrpc

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/internal/control"
)

// FuzzParseModeChange: a change is one JSON value, and written as JSON it is the same
// change.
func FuzzParseModeChange(f *testing.F) {
	for _, s := range []string{`{}`, `{"enforce":true}`, `{"enforce":false,"success_audit":null}`, `{"enforce":true}{"enforce":false}`, `{"Enforce":true,"enforce":false}`, `{"x":1}`, `null`, `[]`, ` {} `} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := parseModeChange(raw)
		if err != nil {
			if !errors.Is(err, errRequest) || m != (ModeChange{}) {
				t.Errorf("%s: %+v, %v", raw, m, err)
			}
			return
		}
		if !json.Valid(raw) {
			t.Errorf("%q is taken, and is no JSON", raw)
		}
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := parseModeChange(text); err != nil || !cmp.Equal(again, m) {
			t.Errorf("%s became %s: %v", raw, text, err)
		}
	})
}

// FuzzRecord: what a client takes for a decision is written as JSON that is the same.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"comm":{"hex":"ff"},"path":"/bin/x","op":"EXECUTE","hook":"MMAP","evidence":{"root_hash":"sha256:00"}}`))
	f.Add([]byte(`{"time":"2026-01-02T03:04:05Z","rule":"DEFAULT action=ALLOW"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var r control.Record
		if json.Unmarshal(text, &r) != nil {
			return
		}
		first, err := json.Marshal(r)
		if err != nil {
			return // what no daemon has: an operation without a name, a year past 9999
		}
		var again control.Record
		if err := json.Unmarshal(first, &again); err != nil {
			t.Fatalf("%s became %s: %v", text, first, err)
		}
		if second, err := json.Marshal(again); err != nil || string(second) != string(first) {
			t.Errorf("%s became %s and then %s, %v", text, first, second, err)
		}
	})
}
