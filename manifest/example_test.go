package manifest_test

import (
	"fmt"
	"strings"

	"github.com/ipe-linux/ipe/manifest"
)

func ExampleParse() {
	text := `{"path":"usr/bin/env","digest":"sha256:3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95","size":48536,"mode":"0755"}
{"path":"../etc/shadow","digest":"sha256:3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95","size":1,"mode":"0600"}
`
	err := manifest.Parse(strings.NewReader(text), func(e manifest.Entry) error {
		fmt.Println(e.Path, e.Size, e.Mode)
		return nil
	})
	fmt.Println(err)
	// Output:
	// usr/bin/env 48536 0755
	// line 2: "../etc/shadow": leads above where it begins
}
