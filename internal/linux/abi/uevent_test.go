package abi

import (
	"bytes"
	"testing"
)

func TestParseEvent(t *testing.T) {
	for msg, want := range map[string]Event{
		"add@/module/dm_mod\x00ACTION=add\x00": {"add", "/module/dm_mod"},
		"change@/devices/virtual/block/dm-0":   {"change", "/devices/virtual/block/dm-0"},
		"move@/devices/a@b\x00":                {"move", "/devices/a@b"},
		"":                                     {},
		"libudev\x00\xfe\xed\xca\xfe":          {},
		"@/module/dm_mod":                      {},
		"add@module":                           {},
		"\x00add@/module/dm_mod":               {},
	} {
		got, ok := parseEvent([]byte(msg))
		if ok != (want != LostEvent) || ok && got != want {
			t.Errorf("%q: %+v, %t; want %+v", msg, got, ok, want)
		}
	}
}

func FuzzParseEvent(f *testing.F) {
	f.Add([]byte("add@/module/dm_mod\x00ACTION=add\x00"))
	f.Add([]byte("@"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		e, ok := parseEvent(msg)
		if ok && !bytes.HasPrefix(msg, []byte(e.Action+"@"+e.Object)) {
			t.Errorf("%q: %+v", msg, e)
		}
	})
}
