package wire_test

import (
	"errors"
	"testing"
	"time"

	"github.com/ipe-linux/ipe/internal/testvm/wire"
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
