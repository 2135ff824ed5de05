//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/ipe-linux/ipe/internal/lab/attack"
	"github.com/ipe-linux/ipe/internal/lab/demo/appliance"
	"github.com/ipe-linux/ipe/internal/lab/demo/row"
	"github.com/ipe-linux/ipe/internal/lab/vm"
	"github.com/ipe-linux/ipe/internal/lab/vm/debian"
)

// bootTime is far more than a boot takes, also on a busy machine without KVM.
const bootTime = 5 * time.Minute

// modules are what the appliance's disks and its ruleset need.
func modules() []string {
	return []string{
		"dm-verity", "squashfs", "nf_tables", "nft_ct", "nft_limit", "nft_log", "nf_log_syslog",
		"nft_reject_inet", "nft_chain_nat", "nft_nat", "nft_masq",
	}
}

// guest describes one boot of a site.
func guest(k debian.Kernel, site *appliance.Site, boot int) (vm.Config, error) {
	files, err := vm.HostBinary("veritysetup", "fsverity", "dmsetup")
	if err != nil {
		return vm.Config{}, err
	}
	setup, err := json.Marshal(row.Setup{
		Boot: boot, Root: site.Service.Root, Remade: site.Remade.Root,
		HashOffset: site.Service.HashOffset, Signed: site.Signature != "",
	})
	if err != nil {
		return vm.Config{}, fmt.Errorf("write setup: %w", err)
	}
	files.Add(vm.Files{
		"/usr/bin/ipe":              {Host: site.Ipe},
		"/usr/sbin/iped":            {Host: site.Iped},
		"/usr/bin/agent":            {Host: site.Agent},
		row.StackProgram:            {Data: attack.Program(attack.Exits(), true), Mode: 0o755},
		row.SetupPath:               {Data: setup},
		row.TrustDir + "/owner.pem": {Host: site.Cert},
	})
	if site.Signature != "" {
		files[row.SignaturePath] = vm.File{Host: site.Signature}
	}
	policies, err := os.ReadDir(site.PolicyFile(""))
	if err != nil {
		return vm.Config{}, fmt.Errorf("list policies: %w", err)
	}
	for _, p := range policies {
		files[path.Join(row.PolicyDir, p.Name())] = vm.File{Host: filepath.Join(site.PolicyFile(""), p.Name())}
	}
	return vm.Config{
		Kernel: k, Command: []string{"agent"}, Files: files, Modules: modules(), UEFI: site.Signature != "", Timeout: bootTime,
		Disks: []vm.Disk{
			{Path: site.State},
			{Path: site.Service.Path, ReadOnly: true},
			{Path: site.Damaged.Path, ReadOnly: true},
			{Path: site.Remade.Path, ReadOnly: true},
		},
	}, nil
}

// lines takes the guest's output apart: the agent's JSON, and everything else.
type lines struct {
	take func(row.Line)
	log  io.Writer
	rest []byte
	done bool
}

// Write never fails, so that the guest is not kept waiting.
func (w *lines) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		line, rest, whole := bytes.Cut(w.rest, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		w.rest = rest
		w.line(line)
	}
}

func (w *lines) line(line []byte) {
	var l row.Line
	if !bytes.HasPrefix(line, []byte("{")) || json.Unmarshal(line, &l) != nil {
		fmt.Fprintf(w.log, "%s\n", line)
		return
	}
	w.done = w.done || l.Done
	w.take(l)
}

// lastWords is the end of what a program said: it may take several lines to say why, and
// another program's last lines may be the reason.
func lastWords(text []byte) []byte {
	lines := bytes.SplitAfter(bytes.TrimSpace(text), []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-wordsKept):], nil)
}

// wordsKept is how many lines fit an error that people read.
const wordsKept = 12
