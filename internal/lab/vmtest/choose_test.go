//go:build linux

package vmtest

import (
	"errors"
	"slices"
	"testing"

	"github.com/ipe-linux/ipe/internal/lab/vm/debian"
)

func TestSome(t *testing.T) {
	kernels := []debian.Kernel{{Name: "6.1"}, {Name: "6.12"}, {Name: "newest"}}
	names := func() (got []string) {
		for _, k := range some(kernels, []string{"newest", "6.1"}) {
			got = append(got, k.Name)
		}
		return got
	}
	t.Setenv(wideVariable, "")
	t.Setenv(kernelVariable, "")
	if got := names(); !slices.Equal(got, []string{"6.1", "newest"}) {
		t.Errorf("as a rule: %q", got)
	}
	for _, v := range []string{wideVariable, kernelVariable} {
		t.Setenv(v, "6.12")
		if got := names(); len(got) != len(kernels) {
			t.Errorf("with %s: %q", v, got)
		}
		t.Setenv(v, "")
	}
}

func TestChoose(t *testing.T) {
	declared := []string{"TestA", "TestAB", "TestC"}
	for name, tt := range map[string]struct {
		flags       []string
		narrow      string
		want, must  []string
		err         error
		anyOtherErr bool
	}{
		"all":             {[]string{"-test.v"}, "", []string{"-test.run=^(TestA|TestAB|TestC)$", "-test.v"}, declared, nil, false},
		"chosen":          {[]string{"-test.run=^TestA"}, "", []string{"-test.run=^TestA"}, nil, nil, false},
		"narrowed":        {[]string{"-x"}, "^TestA$", []string{"-x", "-test.run=^(TestA)$"}, nil, nil, false},
		"both":            {[]string{"-test.run=^TestA", "-x"}, "B|C", []string{"-x", "-test.run=^(TestAB)$"}, nil, nil, false},
		"with a subtest":  {nil, "TestC/x/y", []string{"-test.run=^(TestC)$/x/y"}, nil, nil, false},
		"none":            {[]string{"-test.run=^TestA$"}, "TestC", nil, nil, errNotChosen, false},
		"no such pattern": {nil, "(", nil, nil, nil, true},
	} {
		got, must, err := choose(slices.Clone(declared), tt.flags, tt.narrow)
		if !slices.Equal(got, tt.want) || !slices.Equal(must, tt.must) || (!errors.Is(err, tt.err) || err != nil && tt.err == nil) != tt.anyOtherErr {
			t.Errorf("%s: %q, %q, %v", name, got, must, err)
		}
	}
}
