//go:build linux

package appliance

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ipe-linux/ipe/internal/lab/demo/row"
)

// PolicyFile is the host path of a policy, with the suffix .pol or .p7b.
func (s *Site) PolicyFile(name string) string { return filepath.Join(s.Dir, "policies", name) }

// makePolicies writes the policies and signs them with the ipe command.
func (s *Site) makePolicies(ctx context.Context) error {
	digest, err := s.scriptDigest(ctx, "site.nft")
	if err != nil {
		return err
	}
	for _, p := range []struct{ file, name, version, signer string }{
		{row.First, row.FirewallName, "1.0.0", "owner"},
		{row.Second, row.FirewallName, "1.1.0", "owner"},
		{row.Stranger, row.FirewallName, "1.0.0", "stranger"},
		{row.OldInstaller, row.InstallerName, "0.1.0", "owner"},
		{row.NewInstaller, row.InstallerName, "0.2.0", "owner"},
	} {
		text := s.policyText(p.name, p.version, digest)
		if p.file == row.First {
			s.Policy = text
		}
		if err := s.sign(ctx, p.file, p.signer, text); err != nil {
			return err
		}
	}
	if s.platformKey != "" {
		if err := s.signBy(ctx, row.Own, s.platformCert, s.platformKey, s.Policy); err != nil {
			return err
		}
	}
	return s.tamper(ctx, digest)
}

func (s *Site) policyText(name, version, digest string) []byte {
	volume := "dmverity_roothash=sha256:" + s.Service.Root
	if s.Signature != "" {
		volume = "dmverity_signature=TRUE"
	}
	return fmt.Appendf(nil, `policy_name=%s policy_version=%s
# Nothing is executed but what came with the initramfs, ...
DEFAULT action=ALLOW
DEFAULT op=EXECUTE action=DENY
op=EXECUTE boot_verified=TRUE action=ALLOW
# ... the sealed service volume ...
op=EXECUTE %s action=ALLOW
# ... and the site's own script, sealed with fs-verity.
op=EXECUTE fsverity_digest=%s action=ALLOW
`, name, version, volume, digest)
}

func (s *Site) sign(ctx context.Context, file, signer string, text []byte) error {
	return s.signBy(ctx, file, signer+".pem", signer+".key", text)
}

func (s *Site) signBy(ctx context.Context, file, cert, key string, text []byte) error {
	pol := s.PolicyFile(file + ".pol")
	if err := write(pol, text, 0o644); err != nil {
		return err
	}
	_, err := run(ctx, s.Dir, s.Ipe, "policy", "sign", "--key", key, "--cert", cert, "-o", s.PolicyFile(file+".p7b"), pol)
	return err
}

// tamper lets the signed policy name the changed script instead of the good one.
func (s *Site) tamper(ctx context.Context, digest string) error {
	changed, err := s.scriptDigest(ctx, "changed.nft")
	if err != nil {
		return err
	}
	envelope, err := os.ReadFile(s.PolicyFile(row.First + ".p7b"))
	if err != nil {
		return err
	}
	forged := bytes.Replace(envelope, []byte(digest), []byte(changed), 1)
	if bytes.Equal(forged, envelope) {
		return fmt.Errorf("forge policy: the signed one does not hold %s", digest)
	}
	return write(s.PolicyFile(row.Tampered+".p7b"), forged, 0o644)
}

// scriptDigest is the fs-verity digest of a script, as a policy spells it.
func (s *Site) scriptDigest(ctx context.Context, name string) (string, error) {
	out, err := run(ctx, filepath.Join(s.Dir, "state", "site"), "fsverity", "digest", name)
	if err != nil {
		return "", err
	}
	digest, _, ok := strings.Cut(out, " ")
	if !ok {
		return "", fmt.Errorf("measure %s: unexpected output %q", name, out)
	}
	return digest, nil
}
