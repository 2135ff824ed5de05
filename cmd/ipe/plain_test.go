//go:build !cgo

package main

// tokenCommands are none: keys on tokens need cgo.
func tokenCommands() map[string]func() { return nil }
