package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
)

// errBroken is what a peer learns of a panic; the log has the rest. EIO.
var errBroken = errors.New("internal error of iped, see its log")

// survive logs a panic of a handler with its stack and answers EIO, or drops the
// connection if the answer has begun. Semicolons in queries, which package http
// would log, are let pass: peers shall not write into the log.
func survive(next http.Handler, log *slog.Logger) http.Handler {
	return http.AllowQuerySemicolons(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := &recorder{ResponseWriter: w}
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			log.Error("panic while answering", "method", r.Method, "path", r.URL.Path,
				"panic", fmt.Sprint(v), "stack", string(debug.Stack()))
			if rec.begun {
				panic(http.ErrAbortHandler)
			}
			fail(w, errBroken)
		}()
		next.ServeHTTP(rec, r)
	}))
}

// recorder notes that an answer has begun.
type recorder struct {
	http.ResponseWriter
	begun bool
}

// WriteHeader implements [http.ResponseWriter].
func (r *recorder) WriteHeader(status int) {
	r.begun = true
	r.ResponseWriter.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (r *recorder) Write(b []byte) (int, error) {
	r.begun = true
	return r.ResponseWriter.Write(b)
}

// Unwrap lets [http.ResponseController] reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// FlushError sends what has been written so far.
func (r *recorder) FlushError() error {
	r.begun = true
	return http.NewResponseController(r.ResponseWriter).Flush()
}
