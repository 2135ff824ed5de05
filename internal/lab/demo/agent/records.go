//go:build linux

package main

import (
	"context"
	"path"
	"strings"
	"time"

	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/control/api"
)

// recordTime is how long a decision may take from the kernel to iped.
const recordTime = time.Minute

// silence is how long is waited for a record that must not come.
const silence = 200 * time.Millisecond

// record waits for iped's record of a decision about a process.
func (a *agent) record(ctx context.Context, pid uint32, hook eval.Hook, name string) (api.Record, bool, error) {
	for end := time.Now().Add(recordTime); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		rec, found, err := a.find(ctx, pid, hook, name)
		if found || err != nil {
			return rec, found, err
		}
	}
	return api.Record{}, false, nil
}

// find looks once.
func (a *agent) find(ctx context.Context, pid uint32, hook eval.Hook, name string) (rec api.Record, found bool, err error) {
	err = a.client.Events(ctx, false, func(r api.Record) error {
		if r.PID == pid && r.Hook == hook.String() && lastName(r.Path) == name {
			rec, found = r, true
		}
		return nil
	})
	return rec, found, err
}

// lastName is a path's last component; empty without a path.
func lastName(p string) string {
	if p == "" {
		return ""
	}
	return path.Base(strings.TrimSuffix(p, " (deleted)"))
}
