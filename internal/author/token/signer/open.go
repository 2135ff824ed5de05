//go:build cgo

package signer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/miekg/pkcs11"

	"github.com/ipe-linux/ipe/internal/author/pkcs11uri"
	"github.com/ipe-linux/ipe/internal/author/token"
	"github.com/ipe-linux/ipe/internal/plain"
)

// session is a module, a token and a key, as far as they were asked for.
type session struct {
	uri    *pkcs11uri.URI
	module *pkcs11.Ctx
	slot   uint
	handle pkcs11.SessionHandle
	opened bool   // handle is valid
	pin    string // for keys that want it again
	key    *key
}

// maxShown is how many tokens or keys an error names.
const maxShown = 8

// open loads the module and finds the one token.
func (s *session) open(path string, u *pkcs11uri.URI) (*token.Token, error) {
	if s.module != nil {
		return nil, errOrder
	}
	if !filepath.IsAbs(path) {
		return nil, token.Errorf(token.Module, "module %s: not an absolute path", path)
	}
	st, err := os.Stat(path)
	if err != nil {
		return nil, token.Errorf(token.Module, "module: %v", err)
	}
	if !st.Mode().IsRegular() {
		return nil, token.Errorf(token.Module, "module %s: not a file", path)
	}
	m := pkcs11.New(path)
	if m == nil {
		return nil, token.Errorf(token.Module, "module %s: not a PKCS#11 library, or not one of this kind of processor, or a library that it needs is missing", path)
	}
	if err := m.Initialize(); err != nil {
		return nil, token.Errorf(token.Module, "module %s: initialise: %v", path, err)
	}
	s.module, s.uri = m, u
	if s.slot, err = s.findToken(); err != nil {
		return nil, err
	}
	return s.describe()
}

func (s *session) describe() (*token.Token, error) {
	info, err := s.module.GetTokenInfo(s.slot)
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	login := info.Flags&pkcs11.CKF_LOGIN_REQUIRED != 0
	t := &token.Token{Label: info.Label, Login: login, LastTry: info.Flags&pkcs11.CKF_USER_PIN_FINAL_TRY != 0}
	switch {
	case !login:
	case info.Flags&pkcs11.CKF_USER_PIN_LOCKED != 0:
		return nil, token.Errorf(token.LockedPIN, "the PIN of token %s is locked", plain.Name(info.Label))
	case info.Flags&pkcs11.CKF_PROTECTED_AUTHENTICATION_PATH != 0:
		return nil, token.Errorf(token.Unsupported, "token %s takes its PIN from a keypad of its own", plain.Name(info.Label))
	}
	return t, nil
}

// findToken looks through the slots for the token of the URI.
func (s *session) findToken() (uint, error) {
	library, err := s.module.GetInfo()
	if err != nil {
		return 0, fmt.Errorf("module: %w", err)
	}
	slots, err := s.module.GetSlotList(true)
	if err != nil {
		return 0, fmt.Errorf("module: list slots: %w", err)
	}
	var found []uint
	var all, matching []string
	for _, slot := range slots {
		info, err := s.module.GetTokenInfo(slot)
		if err != nil || info.Flags&pkcs11.CKF_TOKEN_INITIALIZED == 0 {
			continue // taken out meanwhile, or blank
		}
		description, err := s.module.GetSlotInfo(slot)
		if err != nil {
			continue
		}
		name := fmt.Sprintf("%s (serial %s, slot-id %d)", plain.Name(info.Label), info.SerialNumber, slot)
		all = append(all, name)
		if s.isToken(slot, library, description, info) {
			found, matching = append(found, slot), append(matching, name)
		}
	}
	switch len(found) {
	case 0:
		return 0, token.Errorf(token.NoToken, "no token is as the URI says; there are: %s", shown(all))
	case 1:
		return found[0], nil
	}
	return 0, token.Errorf(token.Tokens, "%d tokens are as the URI says: %s", len(found), shown(matching))
}

// shown lists names, not too many.
func shown(names []string) string {
	switch {
	case len(names) == 0:
		return "none"
	case len(names) > maxShown:
		return strings.Join(names[:maxShown], ", ") + fmt.Sprintf(" and %d more", len(names)-maxShown)
	}
	return strings.Join(names, ", ")
}

func (s *session) isToken(slot uint, library pkcs11.Info, description pkcs11.SlotInfo, info pkcs11.TokenInfo) bool {
	if id, ok := s.uri.Slot(); ok && id != uint64(slot) {
		return false
	}
	for name, value := range map[string]string{
		pkcs11uri.Token:               info.Label,
		pkcs11uri.Manufacturer:        info.ManufacturerID,
		pkcs11uri.Serial:              info.SerialNumber,
		pkcs11uri.Model:               info.Model,
		pkcs11uri.SlotDescription:     description.SlotDescription,
		pkcs11uri.SlotManufacturer:    description.ManufacturerID,
		pkcs11uri.LibraryDescription:  library.LibraryDescription,
		pkcs11uri.LibraryManufacturer: library.ManufacturerID,
		pkcs11uri.LibraryVersion:      fmt.Sprintf("%d.%d", library.LibraryVersion.Major, library.LibraryVersion.Minor),
	} {
		if want, ok := s.uri.Get(name); ok && want != value {
			return false
		}
	}
	return true
}

// login opens a session that can only read. A PIN is tried once.
func (s *session) login(pin string) error {
	if s.module == nil || s.opened {
		return errOrder
	}
	t, err := s.describe()
	switch {
	case err != nil:
		return err
	case t.Login && pin == "":
		return token.Errorf(token.NoPIN, "token %s wants a PIN", plain.Name(t.Label))
	case strings.ContainsRune(pin, 0):
		return token.Errorf(token.WrongPIN, "a PIN has no zero byte")
	}
	if s.handle, err = s.module.OpenSession(s.slot, pkcs11.CKF_SERIAL_SESSION); err != nil {
		return fmt.Errorf("open session: %w", err)
	}
	s.opened = true
	if !t.Login {
		return nil
	}
	if err := s.module.Login(s.handle, pkcs11.CKU_USER, pin); err != nil {
		return s.pinError(t.Label, err)
	}
	s.pin = pin
	return nil
}

// pinError says what became of the PIN, and how many tries are left as far as the
// token tells.
func (s *session) pinError(label string, err error) error {
	var code pkcs11.Error
	if !errors.As(err, &code) {
		return err
	}
	switch uint(code) {
	case pkcs11.CKR_PIN_LOCKED:
		return token.Errorf(token.LockedPIN, "the PIN of token %s is locked", plain.Name(label))
	case pkcs11.CKR_PIN_INCORRECT, pkcs11.CKR_PIN_INVALID, pkcs11.CKR_PIN_LEN_RANGE:
	default:
		return fmt.Errorf("token %s: %w", plain.Name(label), err)
	}
	left := ""
	if info, err := s.module.GetTokenInfo(s.slot); err == nil {
		switch {
		case info.Flags&pkcs11.CKF_USER_PIN_LOCKED != 0:
			left = ", and now it is locked"
		case info.Flags&pkcs11.CKF_USER_PIN_FINAL_TRY != 0:
			left = ", and one more locks it"
		}
	}
	return token.Errorf(token.WrongPIN, "wrong PIN for token %s%s", plain.Name(label), left)
}

// close takes leave of the module as it wants it.
func (s *session) close() {
	if s.module == nil {
		return
	}
	// Nothing can be done about errors at the end.
	if s.opened {
		_ = s.module.Logout(s.handle)
		_ = s.module.CloseSession(s.handle)
	}
	_ = s.module.Finalize()
}
