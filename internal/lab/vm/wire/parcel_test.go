package wire_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/ipe-linux/ipe/internal/lab/vm/wire"
)

func TestParcel(t *testing.T) {
	want := wire.Parcel{Now: time.Unix(1_700_000_000, 123_456_789), Seed: [32]byte{1, 2, 31: 3}}
	block := want.Block()
	got, err := wire.ReadParcel(block)
	if err != nil || len(block) != wire.ParcelBlock || !got.Now.Equal(want.Now) || got.Seed != want.Seed {
		t.Errorf("%+v, %v, block of %d", got, err, len(block))
	}
	block[0] = 0
	for name, b := range map[string][]byte{"changed": block, "nothing": nil, "zeros": make([]byte, wire.ParcelBlock), "cut": want.Block()[:40]} {
		if _, err := wire.ReadParcel(b); !errors.Is(err, wire.ErrNoParcel) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzReadParcel: what is read is written as the same bytes, up to those that say nothing.
func FuzzReadParcel(f *testing.F) {
	f.Add(wire.Parcel{Now: time.Unix(1, 2)}.Block())
	f.Add([]byte("ipe-testvm-parcel-1\n"))
	f.Fuzz(func(t *testing.T, block []byte) {
		p, err := wire.ReadParcel(block)
		if err != nil {
			if !errors.Is(err, wire.ErrNoParcel) {
				t.Error(err)
			}
			return
		}
		const said = len("ipe-testvm-parcel-1\n") + 8 + wire.SeedSize
		if written := p.Block(); !bytes.Equal(written[:said], block[:said]) {
			t.Errorf("%x became %x", block, written)
		}
	})
}
