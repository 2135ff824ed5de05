package pkcs11uri_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/internal/author/pkcs11uri"
)

func TestParse(t *testing.T) {
	u, err := pkcs11uri.Parse("pkcs11:token=The%20Site;object=policies;id=%01%ff;slot-id=327;type=private" +
		"?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/pin")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{pkcs11uri.Token: "The Site", pkcs11uri.Object: "policies", pkcs11uri.ID: "\x01\xff",
		pkcs11uri.ModulePath: "/usr/lib/softhsm/libsofthsm2.so"} {
		if got, ok := u.Get(name); !ok || got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if id, ok := u.Slot(); id != 327 || !ok {
		t.Errorf("slot %d, %t", id, ok)
	}
	if u.PINFile() != "/etc/pin" {
		t.Errorf("PIN file %q", u.PINFile())
	}
	want := "pkcs11:token=The%20Site;slot-id=327;object=policies;id=%01%FF;type=private?pin-source=file:/etc/pin&module-path=/usr/lib/softhsm/libsofthsm2.so"
	if u.String() != want {
		t.Errorf("got  %s\nwant %s", u, want)
	}
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"file:x":                                    "does not begin with pkcs11:",
		"pkcs11:token":                              "attribute token without a value",
		"pkcs11:s3cret":                             "an attribute without a value",
		"pkcs11:token=a;token=b":                    "attribute token twice",
		"pkcs11:token=a b":                          "attribute token: a character that must be percent-encoded",
		"pkcs11:token=a%2":                          "attribute token: % without two hex digits",
		"pkcs11:token=a%zz":                         "attribute token: % without two hex digits",
		"pkcs11:token=%ff":                          "attribute token is not text",
		"pkcs11:token=a%00":                         "attribute token is not text",
		"pkcs11:token=":                             "attribute token is empty",
		"pkcs11:id=":                                "attribute id is empty",
		"pkcs11:token=a;":                           "an attribute without a value",
		"pkcs11:colour=red":                         "attribute colour is not known",
		"pkcs11:x/y=s3cret":                         "an attribute that is not known",
		"pkcs11:pin-value=s3cret":                   "attribute pin-value stands behind a question mark",
		"pkcs11:a=b?object=s3cret":                  "attribute a is not known",
		"pkcs11:?object=s3cret":                     "attribute object stands before the question mark",
		"pkcs11:?pin-value=s3cret%":                 "attribute pin-value: % without two hex digits",
		"pkcs11:?pin-value=s3cret s3cret":           "attribute pin-value: a character",
		"pkcs11:?pin-value=s3cret&pin-source=/x":    "exclude each other",
		"pkcs11:?pin-source=|/bin/s3cret":           "pin-source is not file:",
		"pkcs11:?pin-source=file://host/s3cret":     "",
		"pkcs11:?module-path=s3cret.so":             "module-path is not an absolute path",
		"pkcs11:slot-id=007":                        "slot-id is not a number",
		"pkcs11:slot-id=99999999999999999999":       "slot-id is not a number",
		"pkcs11:type=cert":                          "only a private key signs",
		"pkcs11:token=" + strings.Repeat("a", 9000): "longer than 8192 bytes",
	} {
		_, err := pkcs11uri.Parse(text)
		if want == "" {
			if err == nil {
				t.Errorf("%.60s: no error", text)
			}
			continue
		}
		switch {
		case !errors.Is(err, pkcs11uri.ErrSyntax) || !strings.Contains(err.Error(), want):
			t.Errorf("%.60s: error %v, want %s", text, err, want)
		case strings.Contains(err.Error(), "s3cret"):
			t.Errorf("%.60s: the error quotes a value: %v", text, err)
		}
	}
}

// FuzzParse: what is read says the same when it is written and read again, and
// nothing of it holds the PIN.
func FuzzParse(f *testing.F) {
	f.Add("pkcs11:token=The%20Site;object=a;id=%01?module-path=/m.so&pin-source=file:/etc/pin")
	f.Add("pkcs11:slot-id=1;serial=2;model=x?pin-value=%73")
	f.Add("pkcs11:")
	f.Fuzz(func(t *testing.T, text string) {
		u, err := pkcs11uri.Parse(text)
		if err != nil {
			return
		}
		again, err := pkcs11uri.Parse(u.String())
		if err != nil {
			t.Fatalf("%q becomes %q: %v", text, u, err)
		}
		if again.String() != u.String() {
			t.Errorf("%q becomes %q", u, again)
		}
		if _, ok := again.Get(pkcs11uri.PINValue); ok {
			t.Errorf("%q holds a PIN", u)
		}
	})
}
