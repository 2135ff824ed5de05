package sign_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/sign"
)

// skeleton is a message, in hex with blanks, as far as the kernel's grammar leads to
// the content C; nothing of it is signed.
func skeleton(outer, content string) string {
	const signedData, data = "06 09 2a864886f70d010702", "06 09 2a864886f70d010701"
	return strings.NewReplacer("OUTER", outer, "SIGNED", signedData, "DATA", data, "C", content).Replace(
		"30 80 SIGNED a0 80 30 80 020101 3100 OUTER DATA C")
}

// TestDetach: the content is found in BER, by one way only.
func TestDetach(t *testing.T) {
	t.Parallel()
	id := identities["p256"]()
	const ends = " 0000 0000 0000"
	tests := []struct {
		name, message, content string
		want                   error
	}{
		{"DER", hex.EncodeToString(id.content(t, text)), text, nil},
		{"SHA-1, which only a kernel takes", hex.EncodeToString(opensslSign(t, id, text, "smime", "-nodetach", "-noattr", "-md", "sha1")), text, nil},
		{"detached", hex.EncodeToString(opensslSign(t, id, text, "smime", "-noattr")), "", sign.ErrNoContent},
		{"content type", hex.EncodeToString(opensslSign(t, id, text, "cms", "-nodetach", "-noattr", "-econtent_type", "1.2.3")), "", sign.ErrUnsupportedForm},
		{"streamed", hex.EncodeToString(opensslSign(t, id, text, "cms", "-nodetach", "-noattr", "-stream")), "", sign.ErrRejected},
		{"indefinite", skeleton("30 80", "a0 80 04 02 6869 0000") + " 0000 3100" + ends, "hi", nil},
		{"indefinite, then definite", skeleton("30 11", "a0 04 04 02 6869") + " 3100" + ends, "hi", nil},
		{"indefinite inside what is skipped", strings.Replace(skeleton("30 11", "a0 04 04 02 6869"), "3100", "3180 3080 0000 0000", 1) + ends, "hi", nil},
		{"length in more bytes than needed", skeleton("30 82 0012", "a0 81 04 04 02 6869") + ends, "hi", nil},
		{"another kind of string", skeleton("30 11", "a0 04 0c 02 6869") + ends, "hi", nil},
		{"an end is missing", skeleton("30 80", "a0 80 04 02 6869 0000") + " 0000 3100 0000 0000", "", sign.ErrMalformed},
		{"an end that is none", skeleton("30 80", "a0 80 04 02 6869 0001") + " 0000" + ends, "", sign.ErrMalformed},
		{"no content, but an end", skeleton("30 80", "a0 80 0000") + " 0000 3100" + ends, "", sign.ErrMalformed},
		{"primitive of indefinite length", skeleton("30 80", "a0 80 04 80 6869 0000 0000") + " 0000" + ends, "", sign.ErrMalformed},
		{"tag in more bytes", skeleton("30 80", "bf 01 04 04 02 6869") + " 0000" + ends, "", sign.ErrMalformed},
		{"length in four bytes", "30 84 00000000", "", sign.ErrMalformed},
		{"longer than what is there", skeleton("30 11", "a0 05 04 03 6869"), "", sign.ErrMalformed},
		{"enveloped data", "30 80 06 09 2a864886f70d010703 a0 80 0000 0000", "", sign.ErrUnsupportedForm},
		{"nested without end", strings.Repeat("30 80", 40), "", sign.ErrMalformed},
		{"empty", "", "", sign.ErrMalformed},
		{"too long", strings.Repeat("00", 65536), "", sign.ErrTooLong},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, _, err := sign.Detach(must(hex.DecodeString(strings.ReplaceAll(tt.message, " ", ""))))
			checkError(t, err, tt.want)
			if err == nil && string(e.Content) != tt.content {
				t.Errorf("content %q, want %q", e.Content, tt.content)
			}
		})
	}
}

// TestDetachedVerifies: message and content apart verify as they did together.
func TestDetachedVerifies(t *testing.T) {
	t.Parallel()
	id := identities["rsa2048"]()
	for _, flags := range [][]string{{"-noattr"}, {"-nosmimecap"}, {"-noattr", "-nocerts"}} {
		message := opensslSign(t, id, text, "smime", append(flags, "-nodetach")...)
		e, apart, err := sign.Detach(message)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sign.VerifyDetached(apart, e.Content, id.ring()); err != nil {
			t.Errorf("%v: %v", flags, err)
		}
		if _, err := sign.VerifyDetached(apart, append(e.Content, 0), id.ring()); !errors.Is(err, sign.ErrRejected) {
			t.Errorf("%v, other content: %v", flags, err)
		}
		if theirs := opensslSign(t, id, text, "smime", flags...); flags[0] == "-noattr" && !bytes.Equal(apart, theirs) {
			t.Errorf("%v: not what OpenSSL signs detached:\n%x\n%x", flags, apart, theirs)
		}
	}
}

// FuzzDetach: what the strict reader takes, the reader of BER reads alike.
func FuzzDetach(f *testing.F) {
	files, err := filepath.Glob("testdata/*.p7b")
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, file := range files {
		f.Add(readFixture(f, filepath.Base(file)))
	}
	f.Add(must(hex.DecodeString(strings.ReplaceAll(skeleton("30 80", "a0 80 04 02 6869 0000")+" 0000 3100 0000 0000 0000", " ", ""))))
	f.Fuzz(func(t *testing.T, message []byte) {
		e, apart, err := sign.Detach(message)
		strict, serr := sign.Inspect(message)
		switch {
		case errors.Is(err, sign.ErrUnsupportedForm): // Authenticode, which the strict reader describes
		case serr == nil && strict.Content != nil && (err != nil || !bytes.Equal(e.Content, strict.Content)):
			t.Errorf("strictly %q, otherwise %+v, %v", strict.Content, e, err)
		case serr == nil && strict.Content == nil && err == nil:
			t.Errorf("no content, otherwise %q", e.Content)
		case err != nil:
			checkOneSentinel(t, err)
		case serr == nil:
			if d, err := sign.Inspect(apart); err != nil || d.Content != nil || len(d.Signers) != len(strict.Signers) {
				t.Errorf("apart it is %+v, %v", d, err)
			}
		}
	})
}
