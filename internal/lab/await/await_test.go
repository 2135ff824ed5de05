package await

import (
	"errors"
	"testing"
	"time"
)

func TestUntil(t *testing.T) {
	asked := 0
	if !Until(func() bool { asked++; return asked == 3 }) || asked != 3 {
		t.Errorf("asked %d times", asked)
	}
	asked = 0
	if within(2*step, func() bool { asked++; return false }) || asked < 2 {
		t.Errorf("what never is, is; asked %d times", asked)
	}
	if within(-time.Second, func() bool { return true }) != true {
		t.Error("what is so at once is not asked for")
	}
}

func TestNoError(t *testing.T) {
	tries := 0
	if err := NoError(func() error {
		if tries++; tries < 3 {
			return errors.New("not yet")
		}
		return nil
	}); err != nil || tries != 3 {
		t.Errorf("%v after %d tries", err, tries)
	}
}
