package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/digest"
)

// manifestEntry is one line of a manifest.
type manifestEntry struct {
	Path   string `json:"path"`
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
	Mode   string `json:"mode"` // permissions, in octal
}

func (a *app) fsManifest() *cobra.Command {
	var p fsParams
	var executable bool
	cmd := &cobra.Command{
		Use: "manifest FILE...", Short: "List files with their fs-verity digests, as JSON lines", Args: some("at least one FILE or directory"),
		Long: "Manifest prints one JSON object a line for each file, and for each regular file in a directory:\n" +
			"path, digest, size and permissions. ipe fsverity rules and verify read it.",
		Example: "  ipe fsverity manifest --executable /opt/app >app.manifest",
		RunE: func(cmd *cobra.Command, args []string) error {
			params, err := p.params(cmd)
			if err != nil {
				return err
			}
			return a.report(cmd.Context(), args, keeping(executable), params, func(m measured) error {
				return a.printJSON(manifestEntry{m.path, m.digest.String(), m.size, octal(m.mode)})
			})
		},
	}
	p.flags(cmd)
	cmd.Flags().BoolVar(&executable, "executable", false, "in directories, only files with an executable bit and ELF files")
	return cmd
}

func octal(m fs.FileMode) string { return fmt.Sprintf("%04o", m.Perm()) }

func keeping(executable bool) keeper {
	if executable {
		return executables
	}
	return nil
}

// maxManifestLine bounds a line; paths have 4096 bytes at most.
const maxManifestLine = 64 << 10

// parseManifest reads a manifest strictly: no unknown fields, no line without a
// digest.
func parseManifest(r io.Reader, each func(manifestEntry, digest.Digest) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxManifestLine)
	n := 0
	for lines.Scan() {
		n++
		e, d, err := parseManifestLine(lines.Bytes())
		if err == nil {
			err = each(e, d)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("line %d: %w", n+1, err)
	}
	return nil
}

func parseManifestLine(line []byte) (e manifestEntry, d digest.Digest, err error) {
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&e); err != nil {
		return e, d, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return e, d, errors.New("more than one object")
	}
	if e.Path == "" || e.Size < 0 {
		return e, d, errors.New("no path, or a negative size")
	}
	if d, err = digest.Parse(e.Digest); err != nil {
		return e, d, err
	}
	if size, ok := digest.AlgorithmSize(d.Algorithm()); !ok || size != d.Size() {
		return e, d, fmt.Errorf("digest %q: no such algorithm, or of another length", e.Digest)
	}
	return e, d, nil
}
