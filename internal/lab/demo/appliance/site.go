//go:build linux

package appliance

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ipe-linux/ipe/internal/lab/vm"

	_ "embed"
)

//go:embed site.nft
var siteScript []byte

// changedScript is the site's script after somebody changed where the web traffic goes.
var changedScript = bytes.Replace(siteScript, []byte("192.168.17.80"), []byte("192.168.17.66"), 1)

// Site is an appliance of one owner, to boot with one kernel.
type Site struct {
	*Appliance
	Dir string
	// Cert is the owner's certificate, PEM.
	Cert string
	// Policy is the text of the first policy.
	Policy []byte
	// State is the ext4 disk that survives reboots.
	State string
	// Signature is the signed root hash of the service volume; empty if it is unsigned.
	Signature string
	// platformCert and platformKey are those that the guest's firmware vouches for.
	platformCert, platformKey string
}

// NewSite makes an owner, a state disk and policies. With signed set, the volume's
// root hash is signed with the key that the guest's firmware vouches for and the
// policy asks for a signature; otherwise the policy names the root hash.
func (a *Appliance) NewSite(ctx context.Context, dir string, signed bool) (*Site, error) {
	s := &Site{Appliance: a, Dir: dir, Cert: filepath.Join(dir, "owner.pem"), State: filepath.Join(dir, "state.img")}
	build := []func(context.Context) error{s.makeState, s.makeKeys, s.makePolicies}
	if signed {
		build = append([]func(context.Context) error{s.signRoot}, build...)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	for _, part := range build {
		if err := part(ctx); err != nil {
			return nil, fmt.Errorf("build appliance: %w", err)
		}
	}
	return s, nil
}

// makeState makes an empty file system but for the site's two scripts.
func (s *Site) makeState(ctx context.Context) error {
	tree := filepath.Join(s.Dir, "state")
	for name, data := range map[string][]byte{"site.nft": siteScript, "changed.nft": changedScript} {
		if err := write(filepath.Join(tree, "site", name), data, 0o755); err != nil {
			return err
		}
	}
	if err := write(s.State, nil, 0o644); err != nil {
		return err
	}
	if err := os.Truncate(s.State, 32<<20); err != nil {
		return err
	}
	_, err := run(ctx, "", "mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-O", "verity", "-d", tree, s.State)
	return err
}

// makeKeys makes two new key pairs: the owner's, and that of a stranger who gives
// himself another name.
func (s *Site) makeKeys(ctx context.Context) error {
	for name, subject := range map[string]string{"owner": "/O=Example Appliances/CN=policy owner", "stranger": "/CN=stranger"} {
		_, err := run(ctx, s.Dir, "openssl", "req", "-x509", "-newkey", "rsa:2048", "-noenc", "-sha256", "-days", "3650",
			"-subj", subject, "-keyout", name+".key", "-out", name+".pem")
		if err != nil {
			return err
		}
	}
	return nil
}

// signRoot signs the root hash as dm-verity wants it: PKCS#7, detached, of the hex digits.
func (s *Site) signRoot(ctx context.Context) error {
	cert, key, err := vm.PlatformKey(ctx, s.Dir)
	if err != nil {
		return err
	}
	hash := filepath.Join(s.Dir, "roothash")
	if err := write(hash, []byte(s.Service.Root), 0o644); err != nil {
		return err
	}
	s.Signature = hash + ".p7s"
	s.platformCert, s.platformKey = cert, key
	_, err = run(ctx, "", "openssl", "smime", "-sign", "-nocerts", "-noattr", "-binary", "-in", hash,
		"-inkey", key, "-signer", cert, "-outform", "der", "-out", s.Signature)
	return err
}
