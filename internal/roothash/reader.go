package roothash

import (
	"errors"
	"fmt"

	"github.com/ipe-linux/ipe/digest"
)

// Reader reads the same paths again and again.
type Reader struct {
	Paths  []string
	Verify Verify
	// of has the signed root hashes of each path, as far as it could be read.
	of map[string][]digest.Digest
}

// Read is the function Read, but for a whole path that cannot be read: that keeps what it
// had.
func (r *Reader) Read() (roots []digest.Digest, problems []error) {
	for _, path := range r.Paths {
		problems = append(problems, r.readPath(path)...)
		roots = append(roots, r.of[path]...)
	}
	return roots, problems
}

func (r *Reader) readPath(path string) []error {
	roots, problems := Read([]string{path}, r.Verify)
	if n := len(r.of[path]); n > 0 && errors.Is(errors.Join(problems...), ErrPath) {
		return []error{fmt.Errorf("%w: the root hashes that it had before, %d, still count", errors.Join(problems...), n)}
	}
	if r.of == nil {
		r.of = map[string][]digest.Digest{}
	}
	r.of[path] = roots
	return problems
}
