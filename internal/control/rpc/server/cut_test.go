package server

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/ipe-linux/ipe/internal/errno"
)

// TestBodyCutShort: a request that ends early is the peer's fault, not this daemon's.
func TestBodyCutShort(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/v1/policies", iotest.ErrReader(io.ErrUnexpectedEOF))
	_, err := body(r)
	if !errors.Is(err, errRequest) || errno.Symbol(err) != "EINVAL" {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	fail(w, err)
	if w.Code >= http.StatusInternalServerError {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
}

// TestModeWords: what the decoder says comes behind what is wanted.
func TestModeWords(t *testing.T) {
	for _, raw := range []string{"", "enforce", "1", `{"enforce":1}`, `{"enforced":true}`, `{"enforce":`} {
		_, err := parseModeChange([]byte(raw))
		if !errors.Is(err, errRequest) || !strings.Contains(err.Error(), "invalid argument: not an object with enforce or success_audit") {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

// TestRefusalOfReading: who may not read decisions is not told of changes.
func TestRefusalOfReading(t *testing.T) {
	err := mayChange(t.Context())
	if errno.Symbol(err) != "EPERM" || strings.Contains(err.Error(), "chang") || !strings.Contains(err.Error(), "root") {
		t.Error(err)
	}
}
