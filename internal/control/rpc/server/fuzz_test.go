package server

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/internal/control/api"
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
			if !errors.Is(err, errRequest) || m != (api.ModeChange{}) {
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
