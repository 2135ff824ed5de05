package vm

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/ipe-linux/ipe/internal/lab/vm/debian"
)

// Firmware of Debian's ovmf package. The variables hold, as Secure Boot's db, the
// certificate of the key pair that the package publishes for tests, so the guest
// kernel has it in its .platform keyring. The code enforces nothing.
const (
	firmwareCode = "/usr/share/OVMF/OVMF_CODE_4M.fd"
	firmwareVars = "/usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd"

	platformCert       = "/usr/share/ovmf/PkKek-1-snakeoil.pem"
	platformKey        = "/usr/share/ovmf/PkKek-1-snakeoil.key"
	platformPassphrase = "snakeoil"

	varsFile = "vars.fd" // a guest's own copy
)

// PlatformKey gives a certificate that a guest booted with Config.UEFI trusts
// (keyring .platform) and its private key, written unencrypted into dir. The key
// is public knowledge, published by Debian for tests.
func PlatformKey(ctx context.Context, dir string) (cert, key string, err error) {
	key = filepath.Join(dir, "platform.key")
	_, err = debian.Output(ctx, dir, "openssl", "pkey", "-in", platformKey, "-passin", "pass:"+platformPassphrase, "-out", key)
	if err != nil {
		return "", "", fmt.Errorf("read platform key: %w", err)
	}
	if _, err := os.Stat(platformCert); err != nil {
		return "", "", fmt.Errorf("read platform certificate: %w", err)
	}
	return platformCert, key, nil
}

// firmwareArgs gives QEMU the firmware and a private, writable copy of its variables.
func firmwareArgs(dir string) ([]string, error) {
	vars := filepath.Join(dir, varsFile)
	if err := copyFile(vars, firmwareVars); err != nil {
		return nil, fmt.Errorf("prepare firmware: %w", err)
	}
	return []string{
		"-drive", "if=pflash,unit=0,format=raw,readonly=on,file=" + firmwareCode,
		"-drive", "if=pflash,unit=1,format=raw,file=" + escape(vars),
	}, nil
}

func copyFile(dst, src string) error {
	return create(dst, func(w io.Writer) error { return readInto(w, src) })
}
