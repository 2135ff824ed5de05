package ui

import "testing"

func TestProgress(t *testing.T) {
	p := (&UI{}).Progress(10 << 20)
	done := p.UpTo()
	done(1 << 20)
	done(3 << 20)
	if got := p.line(); got != " 30%  3 of 10 MiB" {
		t.Errorf("%q", got)
	}
	p.total = 0
	if got := p.line(); got != "3 MiB" {
		t.Errorf("%q", got)
	}
}
