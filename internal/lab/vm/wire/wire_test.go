package wire_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/internal/lab/vm/wire"
)

type frame struct {
	Kind    wire.Kind
	Payload []byte
}

func readAll(r io.Reader) ([]frame, error) {
	fr, err := wire.NewReader(r)
	if err != nil {
		return nil, err
	}
	var got []frame
	for {
		kind, payload, err := fr.Next()
		if err != nil {
			return got, err
		}
		got = append(got, frame{kind, payload})
	}
}

func stream(t *testing.T) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	// Firmware noise, with a false start of the magic string in it.
	b.WriteString("BdsDxe: starting\r\n\n\x00ipe-testvm\n")
	w, err := wire.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []frame{{wire.Stdout, []byte("a\x00\nb")}, {wire.Stderr, nil}} {
		if err := w.Write(f.Kind, f.Payload); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.WriteExit(-3); err != nil {
		t.Fatal(err)
	}
	return &b
}

func TestFramesComeBack(t *testing.T) {
	got, err := readAll(stream(t))
	if err != io.EOF {
		t.Fatalf("end of stream: %v", err)
	}
	want := []frame{
		{wire.Stdout, []byte("a\x00\nb")},
		{wire.Stderr, []byte{}},
		{wire.Exit, []byte{0xff, 0xff, 0xff, 0xfd}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	status, err := wire.Status(got[2].Payload)
	if err != nil || status != -3 {
		t.Fatalf("status %d, %v", status, err)
	}
}

func TestLongPayloadIsSplit(t *testing.T) {
	var b bytes.Buffer
	w, err := wire.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	long := bytes.Repeat([]byte("0123456789"), 250_000)
	if err := w.Write(wire.Stdout, long); err != nil {
		t.Fatal(err)
	}
	frames, err := readAll(&b)
	if err != io.EOF || len(frames) != 3 {
		t.Fatalf("%d frames, %v", len(frames), err)
	}
	var joined []byte
	for _, f := range frames {
		joined = append(joined, f.Payload...)
	}
	if !bytes.Equal(joined, long) {
		t.Fatal("payload changed on the way")
	}
}

func TestDamagedStream(t *testing.T) {
	whole := stream(t).Bytes()
	damaged := bytes.Clone(whole)
	damaged[len(damaged)-9] = 77 // the kind of the last frame
	for name, tt := range map[string]struct {
		stream []byte
		want   error
	}{
		"no magic":      {[]byte("console output only\n"), io.EOF},
		"cut payload":   {whole[:len(whole)-2], wire.ErrFrame},
		"cut header":    {whole[:len(whole)-6], wire.ErrFrame},
		"unknown kind":  {damaged, wire.ErrFrame},
		"between frame": {whole[:len(whole)-9], io.EOF},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := readAll(bytes.NewReader(tt.stream)); !errors.Is(err, tt.want) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
		})
	}
	if _, err := wire.Status([]byte{1}); !errors.Is(err, wire.ErrFrame) {
		t.Fatalf("short status: %v", err)
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte("\n\x00ipe-testvm-1\x00\n\x01\x00\x00\x00\x02hi\x03\x00\x00\x00\x04\x00\x00\x00\x00"))
	f.Add([]byte("noise\n\x00ipe-testvm-1\x00\n\x09"))
	f.Fuzz(func(t *testing.T, data []byte) {
		frames, err := readAll(bytes.NewReader(data))
		if err == nil {
			t.Fatal("a finite stream has no end")
		}
		var again bytes.Buffer
		w, err := wire.NewWriter(&again)
		if err != nil {
			t.Fatal(err)
		}
		for _, fr := range frames {
			if err := w.Write(fr.Kind, fr.Payload); err != nil {
				t.Fatal(err)
			}
		}
		back, _ := readAll(&again)
		if diff := cmp.Diff(frames, back); diff != "" {
			t.Fatal(diff)
		}
	})
}
