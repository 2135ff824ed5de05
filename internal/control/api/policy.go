package api

import (
	"fmt"
	"strings"

	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/policy"
)

// Info describes a deployed policy.
type Info struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Active  bool   `json:"active"`
	// Boot: the unsigned policy given at start.
	Boot bool `json:"boot"`
	// SHA256 is that of the signed message, in hex; of nothing for a boot policy.
	SHA256 string `json:"sha256"`
	// Signers are those who vouch for it: the subjects of trusted certificates.
	Signers []string `json:"signers"`
	// Kept: iped has it stored, and the next boot has it too. What others loaded into a
	// kernel that has IPE itself is not.
	Kept  bool `json:"kept"`
	Rules int  `json:"rules"`
	// Error says why the policy cannot be used; empty if it can.
	Error string `json:"error"`
}

// MaxBoot is what the text of a boot policy must stay below, in bytes: the kernel
// copies its own, which is compiled in, into one allocation.
const MaxBoot = 4 << 20

// CheckName refuses what the kernel cannot make a directory of.
func CheckName(name string) error {
	if name == "." || name == ".." || strings.Contains(name, "/") {
		return fmt.Errorf("policy %s: %w", plain.Name(name), ErrBadName)
	}
	if len(name) > policy.MaxName {
		return fmt.Errorf("policy %s...: %w", plain.Name(fmt.Sprintf("%.40s", name)), ErrNameTooLong)
	}
	return nil
}
