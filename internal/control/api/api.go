// Package api is what clients and the daemon say to each other: the values that travel,
// the words in them, refusals, and where on the socket things are. It is JSON over HTTP
// on a Unix socket, so that curl --unix-socket is a client, too.
//
//	GET    /v1/alive                    at once, whatever goes on
//	GET    /v1/status                   Status
//	GET    /v1/policies                 []Info
//	POST   /v1/policies                 signed message in, Info out
//	GET    /v1/policies/{name}          Info
//	PUT    /v1/policies/{name}          signed message in, Info out
//	DELETE /v1/policies/{name}
//	GET    /v1/policies/{name}/pkcs7    the signed message
//	GET    /v1/policies/{name}/policy   the text
//	POST   /v1/policies/{name}/activate
//	GET    /v1/policies/{name}/preflight Forecast
//	POST   /v1/preflight                signed message in, Forecast out
//	GET    /v1/mode                     Mode
//	PUT    /v1/mode                     ModeChange in, ModeResult out
//	GET    /v1/profile                  Profile, with its text
//	PUT    /v1/profile                  signed message in, Profile out
//	POST   /v1/reload                   Reloaded
//	GET    /v1/events[?follow=1]        Record, one a line; with ?records=1, AuditRecord
//
// Everybody may read status, policies and profile, as on securityfs. Changes need a peer
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
//
// The package rests on the public packages and on numbers of errors alone: a client
// brings along nothing of what enforces, governs or stores.
package api

// DefaultSocket is where iped listens unless told otherwise.
const DefaultSocket = "/run/ipe/iped.sock"

// Version is the protocol's, and the beginning of every path.
const Version = "/v1"

// Paths below Version.
const (
	PathAlive     = "/alive"
	PathStatus    = "/status"
	PathPolicies  = "/policies"
	PathPreflight = "/preflight"
	PathMode      = "/mode"
	PathProfile   = "/profile"
	PathReload    = "/reload"
	PathEvents    = "/events"
)

// What follows PathPolicies and the name of a policy.
const (
	TailActivate  = "/activate"
	TailPreflight = "/preflight"
	TailMessage   = "/pkcs7"
	TailText      = "/policy"
)

// Queries. Each is on if its value is 1.
const (
	// QueryForce asks for a change whatever it will deny.
	QueryForce = "force"
	// QueryFollow asks for what comes, after what is there.
	QueryFollow = "follow"
	// QueryRecords asks for records of all types, as AuditRecord.
	QueryRecords = "records"
)
