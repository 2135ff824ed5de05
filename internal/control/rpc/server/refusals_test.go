package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/peer"
	"github.com/ipe-linux/ipe/internal/control/store"
	"github.com/ipe-linux/ipe/internal/errno"
	"github.com/ipe-linux/ipe/policy"
	"github.com/ipe-linux/ipe/sign"
)

// lacking is why a peer of that kind may not ask for a change.
func lacking(lack error) error {
	return mayChange(context.WithValue(context.Background(), peerKey{}, &conn{peer: peer.Peer{Lack: lack}}))
}

func refusals() []error {
	stale := &store.StaleError{Name: "site", Have: policy.Version{Major: 2}, Got: policy.Version{Major: 1}}
	all := []error{
		api.ErrExists, api.ErrNotFound, api.ErrBadName, api.ErrNameTooLong, api.ErrOtherName, api.ErrNotNewer,
		api.ErrOlder, api.ErrIsActive, api.ErrUnverified, api.ErrPrivilege, api.ErrLockout, api.ErrNoForecast,
		api.ErrNoPreflight, control.ErrUnguarded,
		sign.ErrMalformed, sign.ErrTooLong, sign.ErrUnsupportedForm, sign.ErrRejected, sign.ErrAlgorithm, sign.ErrUntrusted, sign.ErrNoContent,
		policy.ErrSyntax, policy.ErrValue, policy.ErrRange,
		store.ErrExists, store.ErrNotFound, store.ErrActive, store.ErrName, store.ErrLimit, store.ErrLocked, store.ErrFormat, store.ErrCorrupt,
		store.ErrFailed, stale,
		fmt.Errorf("activate: %w: %w", api.ErrUnverified, sign.ErrUntrusted),
		fmt.Errorf("activate: %w: %w", api.ErrUnverified, policy.ErrSyntax),
		fmt.Errorf("line: %w: %w", policy.ErrValue, store.ErrCorrupt),
		fmt.Errorf("%w: %w", store.ErrFailed, unix.ENOSPC),
		fmt.Errorf("%w: %w", api.ErrNoForecast, unix.EPERM),
		errors.Join(unix.ENOSPC, store.ErrFailed),
		errRequest, errBroken, ErrInUse, unix.ENOSPC, unix.EROFS, unix.EDQUOT, unix.ESTALE, errors.New("else"),
	}
	for _, lack := range []error{nil, peer.ErrNotRoot, peer.ErrNoCapability, peer.ErrNamespace, peer.ErrEnded, peer.ErrUnseen,
		errors.Join(peer.ErrEnded, unix.ESRCH), fmt.Errorf("%w: %w", peer.ErrUnseen, unix.EACCES)} {
		all = append(all, lacking(lack))
	}
	lockout := &api.LockoutError{Forecast: api.Forecast{Policy: "site", Version: "1.0.0", Findings: []api.Finding{{Path: "/bin/sh", Roles: []string{"shell"}}}}}
	return append(all, lockout, fmt.Errorf("set mode: %w", lockout))
}

// TestRefusals: what a client gets keeps its number, its words and its hint.
func TestRefusals(t *testing.T) {
	var got bytes.Buffer
	for _, err := range refusals() {
		w := httptest.NewRecorder()
		if err == nil {
			continue
		}
		fail(w, err)
		var e api.Error
		if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		known, ok := errno.KnownSymbol(err)
		fmt.Fprintf(&got, "%d %s %q %t %s | %s | %t\n", w.Code, e.Errno, known, ok, e.Message, e.Fix, e.Forecast != nil)
	}
	want, err := os.ReadFile("testdata/refusals.golden")
	if err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got.String(), "\n")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
