package abi

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// The table in which Linux 7.0 and later keep fs-verity information by inode, and the
// hash function of all tables with such keys.
const (
	VerityTable     = "fsverity_info_hash"
	VerityTableHash = "rhashtable_jhash2"
)

// ErrHidden means that the kernel shows no addresses of symbols (kptr_restrict).
var ErrHidden = errors.New("the kernel hides the addresses of its symbols")

// Symbols gives the addresses of symbols of the running kernel, in the order of the
// names. Each must be there.
func Symbols(names ...string) ([]uint64, error) { return (&System{}).Symbols(names...) }

// Symbols is the function Symbols for this system.
func (s *System) Symbols(names ...string) ([]uint64, error) {
	if s.Addresses != nil {
		return s.Addresses(names...)
	}
	f, err := os.Open(s.path("proc/kallsyms"))
	if err != nil {
		return nil, fmt.Errorf("look up symbols: %w", err)
	}
	defer f.Close()
	found, left := make([]uint64, len(names)), len(names)
	sc := bufio.NewScanner(f)
	for left > 0 && sc.Scan() {
		i, addr, err := matchSymbol(sc.Bytes(), names)
		if err != nil {
			return nil, fmt.Errorf("look up symbols: %w", err)
		}
		if i < 0 || found[i] != 0 {
			continue
		}
		found[i] = addr
		left--
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("look up symbols: %w", err)
	}
	if left > 0 {
		return nil, fmt.Errorf("look up symbols: no %s", names[slices.Index(found, 0)])
	}
	return found, nil
}

// matchSymbol reads a line "ADDRESS TYPE NAME [MODULE]" if it is of the kernel itself
// and names one of the symbols; otherwise i is -1.
func matchSymbol(line []byte, names []string) (i int, addr uint64, err error) {
	address, rest, _ := bytes.Cut(line, []byte(" "))
	_, name, _ := bytes.Cut(rest, []byte(" "))
	i = slices.IndexFunc(names, func(n string) bool { return string(name) == n })
	if i < 0 {
		return i, 0, nil
	}
	addr, err = strconv.ParseUint(string(address), 16, 64)
	if err == nil && addr == 0 {
		err = ErrHidden
	}
	return i, addr, err
}

// once is the same system, which looks up the same symbols only once.
func (s *System) once() *System {
	type answer struct {
		addresses []uint64
		err       error
	}
	known := map[string]answer{}
	same := *s
	same.Addresses = func(names ...string) ([]uint64, error) {
		key := strings.Join(names, " ")
		a, ok := known[key]
		if !ok {
			a.addresses, a.err = s.Symbols(names...)
			known[key] = a
		}
		return a.addresses, a.err
	}
	return &same
}
