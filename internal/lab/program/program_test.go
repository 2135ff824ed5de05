//go:build linux

package program

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"testing"
)

func TestRun(t *testing.T) {
	type options struct{ fail, bad bool }
	p := Proof[options]{
		Name: "prove",
		Flags: func(fs *flag.FlagSet) *options {
			o := &options{}
			fs.BoolVar(&o.fail, "fail", false, "do not succeed")
			fs.BoolVar(&o.bad, "bad", false, "make no sense")
			return o
		},
		Check: func(o *options) error {
			if o.bad && o.fail {
				return errors.New("it makes no sense")
			}
			return nil
		},
		Prove: func(_ context.Context, o options, stdout, _ io.Writer) (bool, error) {
			if o.bad {
				return true, errors.New("it broke")
			}
			_, err := io.WriteString(stdout, "done\n")
			return !o.fail, err
		},
	}
	for _, tt := range []struct {
		args        []string
		code        int
		out, errors string
	}{
		{nil, 0, "done\n", ""},
		{[]string{"--fail"}, 1, "done\n", ""},
		{[]string{"--bad"}, 1, "", "prove: error: it broke\n"},
		{[]string{"--bad", "--fail"}, 2, "", "prove: error: it makes no sense\n"},
		{[]string{"x"}, 2, "", "prove: error: no arguments are taken, got \"x\"\n"},
		{[]string{"--help"}, 0, "", "Usage of prove:\n  -bad\n    \tmake no sense\n  -fail\n    \tdo not succeed\n"},
	} {
		var stdout, stderr bytes.Buffer
		code := p.Run(t.Context(), Surroundings{tt.args, &stdout, &stderr})
		if code != tt.code || stdout.String() != tt.out || stderr.String() != tt.errors {
			t.Errorf("%q: status %d, %q, %q; want %d, %q, %q", tt.args, code, &stdout, &stderr, tt.code, tt.out, tt.errors)
		}
	}
}
