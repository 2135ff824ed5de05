package texts

import (
	"time"

	"github.com/ipe-linux/ipe/sign"
)

// attributeName gives the signed attributes that signing programs write a name:
// RFC 5652, section 11, and RFC 8551, section 2.5. Others are shown by number.
var attributeName = map[string]string{
	"1.2.840.113549.1.9.3":       "content type",
	"1.2.840.113549.1.9.4":       "message digest",
	"1.2.840.113549.1.9.5":       "signing time",
	"1.2.840.113549.1.9.15":      "S/MIME capabilities",
	"1.2.840.113549.1.9.16.2.47": "signing certificate",
}

// attributeNames names the signed attributes of a signer, in the message's order.
func attributeNames(s sign.Signer) []string {
	names := make([]string, 0, len(s.SignedAttributes))
	for _, oid := range s.SignedAttributes {
		name, known := attributeName[oid.String()]
		switch {
		case !known:
			name = oid.String()
		case name == "signing time" && !s.SigningTime.IsZero():
			name += " " + s.SigningTime.UTC().Format(time.RFC3339)
		}
		names = append(names, name)
	}
	return names
}
