// Package controlrpc carries the life cycle of package control over a Unix
// socket: JSON over HTTP, so that curl --unix-socket is a client, too.
//
//	GET    /v1/alive                    at once, whatever goes on
//	GET    /v1/status                   control.Status
//	GET    /v1/policies                 []control.Info
//	POST   /v1/policies                 signed message in, control.Info out
//	GET    /v1/policies/{name}          control.Info
//	PUT    /v1/policies/{name}          signed message in, control.Info out
//	DELETE /v1/policies/{name}
//	GET    /v1/policies/{name}/pkcs7    the signed message
//	GET    /v1/policies/{name}/policy   the text
//	POST   /v1/policies/{name}/activate
//	GET    /v1/policies/{name}/preflight control.Forecast
//	POST   /v1/preflight                signed message in, control.Forecast out
//	GET    /v1/mode                     engine.Mode
//	PUT    /v1/mode                     ModeChange in, control.ModeResult out
//	GET    /v1/events[?follow=1]        control.Record, one a line
//
// Everybody may read status and policies, as on securityfs. Changes need a peer
// with uid 0, and CAP_MAC_ADMIN in the initial user namespace, at the time it
// connected; so does reading decisions, which name other users' processes as audit
// records do. Other peers get EPERM before the request is looked at.
//
// PUT of a policy or of the mode, and activate, refuse what would newly deny code that
// runs (ECANCELED, with the forecast), unless they are asked with ?force=1.
//
// A change is not made for a peer that has closed its connection before the change
// began.
//
// A refusal is an [Error] with the kernel's errno symbol. The number in the path
// is the protocol's version; it changes when a client of the old one would
// misunderstand.
package controlrpc

import (
	"cmp"
	"errors"
	"runtime"
	"runtime/debug"

	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/engine"
)

// DefaultSocket is where iped listens unless told otherwise.
const DefaultSocket = "/run/ipe/iped.sock"

// prefix holds the protocol's version.
const prefix = "/v1"

// maxBody is one byte more than the longest signed message that a kernel takes,
// so that the refusal of longer ones is sign's, with its errno.
const maxBody = 65536

// The values that answers hold, under this package's name for its clients.
type (
	// Status is the answer of GET /v1/status.
	Status = control.Status
	// Info describes a deployed policy.
	Info = control.Info
	// Record is a decision.
	Record = control.Record
	// Mode is how decisions take effect.
	Mode = engine.Mode
	// ModeResult is the mode after a change.
	ModeResult = control.ModeResult
	// ModeChange says what to change.
	ModeChange = control.ModeChange
	// Forecast is what a policy would newly deny.
	Forecast = control.Forecast
	// Finding is one entry of it.
	Finding = control.Finding
	// KernelState is what the engine read back from the kernel.
	KernelState = engine.State
	// Trust says who may sign policies.
	Trust = control.Trust
	// SelfTest is the outcome of a self-test.
	SelfTest = engine.SelfTest
)

// Error is a refusal as it travels.
type Error struct {
	// Errno is the kernel's symbol, such as ESTALE; never empty.
	Errno string `json:"errno"`
	// Message says what was refused, in one line.
	Message string `json:"message"`
	// Fix says what to do about it; may be empty.
	Fix string `json:"hint"`
	// Forecast is what was refused for; nil for most refusals.
	Forecast *Forecast `json:"preflight,omitempty"`
}

// Error returns the message with the symbol behind it.
func (e *Error) Error() string { return e.Message + " [" + e.Errno + "]" }

// Symbol returns Errno.
func (e *Error) Symbol() string { return e.Errno }

// Hint returns Fix, for whoever prints the error.
func (e *Error) Hint() string { return e.Fix }

// ErrUnreachable says that no daemon answers on the socket.
var ErrUnreachable = errors.New("iped does not answer")

// BuildVersion describes the running program: module version, or the commit it
// was built from, and the Go release.
func BuildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown " + runtime.Version()
	}
	return cmp.Or(info.Main.Version, "(devel)") + " " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH
}
