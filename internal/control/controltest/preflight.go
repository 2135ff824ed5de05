package controltest

import (
	"sync/atomic"

	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/policy"
)

// Preflight is a control.Preflight of a machine on which one plain file runs: the shell.
type Preflight struct {
	// Err is what looking fails with.
	Err error
	// Looks counts the questions.
	Looks atomic.Int32
}

// Shell is the path of the file.
const Shell = "/bin/sh"

// Judge implements control.Preflight.
func (p *Preflight) Judge(now, next *policy.Policy) (api.Forecast, error) {
	p.Looks.Add(1)
	f := api.Forecast{Files: 1, Processes: 2}
	event := eval.Event{Op: policy.OpExecute}
	if d := eval.Decide(next, event); d.Action == policy.Deny && eval.Decide(now, event).Action != policy.Deny {
		f.Findings = []api.Finding{{
			Path: Shell, Device: "8:1", Inode: 7, Roles: []string{"shell"}, Users: 5,
			Processes: []api.Process{{PID: 8, Comm: "sh"}, {PID: 9, Comm: "sh"}, {PID: 10, Comm: "login"}, {PID: 11, Comm: "sh"}},
			Rule:      api.RuleText(next, policy.OpExecute, d),
		}}
	}
	return f, p.Err
}
