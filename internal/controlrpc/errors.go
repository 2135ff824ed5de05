package controlrpc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/errno"
	"github.com/ipe-linux/ipe/internal/peer"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/sign"
)

// errRequest is a request that no client of this version sends. EINVAL.
var errRequest = fmt.Errorf("malformed request: %w", unix.EINVAL)

// elsewhere is the hint for root that is less than root.
const elsewhere = "run this as root with CAP_MAC_ADMIN, outside of containers and of unshare --user"

// versioned puts the protocol's version into a pattern "METHOD /path".
func versioned(pattern string) string {
	method, path, _ := strings.Cut(pattern, " ")
	return method + " " + prefix + path
}

// unknown answers requests that match nothing.
func unknown(w http.ResponseWriter, r *http.Request) {
	fail(w, fmt.Errorf("%s %q is not in %s: %w", r.Method, r.URL.Path, prefix, unix.EINVAL))
}

func parseModeChange(raw []byte) (ModeChange, error) {
	var m ModeChange
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&m); err != nil {
		return ModeChange{}, fmt.Errorf("mode: %w: %w", errRequest, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return ModeChange{}, fmt.Errorf("mode: %w: more than one value", errRequest)
	}
	return m, nil
}

// fail sends err as an Error.
func fail(w http.ResponseWriter, err error) {
	e := Error{Errno: errno.Symbol(err), Message: plain.Error(err), Fix: hint(err)}
	var lockout *control.LockoutError
	if errors.As(err, &lockout) {
		e.Forecast = &lockout.Forecast
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(httpStatus(e.Errno))
	json.NewEncoder(w).Encode(e) //nolint:errcheck // the peer has gone, nobody is left to tell
}

// httpStatus is for clients that look no further; the errno is what counts.
func httpStatus(symbol string) int {
	switch symbol {
	case "EPERM", "EACCES":
		return http.StatusForbidden
	case "ENOENT":
		return http.StatusNotFound
	case "EEXIST", "ESTALE", "ECANCELED":
		return http.StatusConflict
	case "EMSGSIZE":
		return http.StatusRequestEntityTooLarge
	case "EIO", "ENOMEM", "ENOSPC":
		return http.StatusInternalServerError
	}
	return http.StatusUnprocessableEntity
}

// trustHint is for a signer whom nobody trusts.
const trustHint = "put the signer's certificate where iped's --trust looks (/etc/ipe/trust.d for the service), then: systemctl reload iped"

// diskHint is for a state directory that takes nothing.
const diskHint = "make room in the state directory of iped, or mend its file system; ipe mode permissive works without"

// hint says what to do about a refusal that has a usual remedy.
func hint(err error) string {
	var h interface {
		error
		Hint() string
	}
	if errors.As(err, &h) {
		return h.Hint()
	}
	for _, r := range []struct {
		err  error
		hint string
	}{
		{peer.ErrNoCapability, elsewhere},
		{peer.ErrNamespace, elsewhere},
		{peer.ErrUnseen, elsewhere},
		{peer.ErrEnded, "the process that connects must live until it has the answer"},
		{control.ErrPrivilege, "run this as root"},
		{control.ErrExists, "to replace it by a newer version: ipe policy update FILE"},
		{control.ErrNotFound, "ipe policy list shows the names; ipe policy load FILE adds one"},
		{control.ErrIsActive, "activate another policy first"},
		{control.ErrOlder, "raise policy_version, sign again and load it"},
		{control.ErrOtherName, "ipe policy load FILE adds a policy of another name"},
		{control.ErrUnverified, trustHint + "; or load a policy signed anew"},
		{control.ErrLockout, "change the policy, or try it with ipe mode permissive; --force does it all the same, and an older ipe cannot say that"},
		{control.ErrNoForecast, "--force does it without looking"},
		{sign.ErrUntrusted, trustHint},
		{unix.ENOSPC, diskHint},
		{unix.EROFS, diskHint},
		{sign.ErrMalformed, "a policy is deployed signed: ipe policy sign --key KEY --cert CERT FILE"},
	} {
		if errors.Is(err, r.err) {
			return r.hint
		}
	}
	if errno.Of(err) == unix.ESTALE {
		return "raise policy_version above the one in force and sign again"
	}
	return ""
}
