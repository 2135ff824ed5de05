// Package decimal reads the numbers that people write on command lines: decimal digits and
// nothing else. The flag packages read 010 as 8 and take 0x10, which no other tool does
// for a size or a number of blocks.
package decimal

import (
	"errors"
	"fmt"
	"strconv"
)

// Integer is what a number is kept in.
type Integer interface {
	~int | ~int32 | ~int64 | ~uint | ~uint32 | ~uint64
}

// ErrSyntax says that a word is not a number in decimal digits.
var ErrSyntax = errors.New("not a number in decimal digits")

// ErrRange says that a number is too large for its purpose.
var ErrRange = errors.New("number too large")

// Parse reads a number that is not negative. Leading zeros mean nothing; signs, blanks,
// underscores and prefixes such as 0x are errors. Errors wrap ErrSyntax or ErrRange.
func Parse[T Integer](s string) (T, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	switch t := T(n); {
	case errors.Is(err, strconv.ErrRange), err == nil && (t < 0 || uint64(t) != n):
		return 0, ErrRange
	case err != nil:
		return 0, ErrSyntax
	default:
		return t, nil
	}
}

// Value is a number as a flag, for the packages flag and pflag.
type Value[T Integer] struct{ to *T }

// Flag returns a flag that sets a number, which has a value before.
func Flag[T Integer](to *T, value T) *Value[T] {
	*to = value
	return &Value[T]{to}
}

// Set reads the number, as Parse does.
func (v *Value[T]) Set(s string) error {
	n, err := Parse[T](s)
	if err == nil {
		*v.to = n
	}
	return err
}

// String returns the number.
func (v *Value[T]) String() string {
	if v == nil || v.to == nil {
		return "0" // of the zero value, which flag compares defaults with
	}
	return fmt.Sprint(*v.to)
}

// Type names the kind of value in the help of pflag.
func (*Value[T]) Type() string { return "int" }
