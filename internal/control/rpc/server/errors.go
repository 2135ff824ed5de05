package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/plain"
)

// errRequest is a request that no client of this version sends. EINVAL.
var errRequest = fmt.Errorf("malformed request: %w", unix.EINVAL)

// versioned puts the protocol's version into a pattern "METHOD /path".
func versioned(pattern string) string {
	method, path, _ := strings.Cut(pattern, " ")
	return method + " " + api.Version + path
}

// unknown answers requests that match nothing.
func unknown(w http.ResponseWriter, r *http.Request) {
	fail(w, fmt.Errorf("%s %s is not in %s: %w", r.Method, plain.Name(r.URL.Path), api.Version, unix.EINVAL))
}

func parseModeChange(raw []byte) (api.ModeChange, error) {
	var m api.ModeChange
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&m); err != nil {
		return api.ModeChange{}, fmt.Errorf("mode: %w: not an object with enforce or success_audit, true or false: %w", errRequest, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return api.ModeChange{}, fmt.Errorf("mode: %w: more than one value", errRequest)
	}
	return m, nil
}

// fail sends err as an Error.
func fail(w http.ResponseWriter, err error) {
	e := api.NewError(err)
	var lockout *api.LockoutError
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
