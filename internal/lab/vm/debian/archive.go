package debian

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// keyring holds the keys of all of Debian's releases, on Debian 12 those of Debian 13, too.
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// archive is apt with the machine's own package lists, or with private ones.
type archive struct {
	options []string
}

// openArchive gives the machine's own archive, or for a suite that the machine does
// not use, a private view of it with lists below the cache. It changes nothing that
// apt uses for the machine itself.
func openArchive(ctx context.Context, cache, suite string) (archive, error) {
	// The download user of apt may not enter the cache; run as root, apt would warn.
	own := archive{options: []string{"-q", "-o", "APT::Sandbox::User=root"}}
	if suite == "" {
		return own, nil
	}
	mirror, err := own.mirror(ctx)
	if err != nil {
		return archive{}, err
	}
	dir := filepath.Join(cache, "apt", suite)
	for _, sub := range []string{"lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return archive{}, fmt.Errorf("prepare package lists: %w", err)
		}
	}
	sources := filepath.Join(dir, "sources.list")
	line := fmt.Sprintf("deb [signed-by=%s] %s %s main\n", keyring, mirror, suite)
	if err := os.WriteFile(sources, []byte(line), 0o644); err != nil {
		return archive{}, fmt.Errorf("prepare package lists: %w", err)
	}
	private := archive{options: append(own.options,
		"-o", "Dir::Etc::sourcelist="+sources, "-o", "Dir::Etc::sourceparts=/dev/null",
		"-o", "Dir::Etc::preferences=/dev/null", "-o", "Dir::Etc::preferencesparts=/dev/null",
		"-o", "Dir::State::lists="+filepath.Join(dir, "lists"), "-o", "Dir::Cache="+filepath.Join(dir, "cache"),
	)}
	// Without this option apt is content with lists that it could not renew.
	if _, err := private.run(ctx, "", "apt-get", "-o", "APT::Update::Error-Mode=any", "update"); err != nil {
		return archive{}, fmt.Errorf("read the package lists of %s: %w", suite, err)
	}
	return private, nil
}

// run runs a command of apt in dir and gives its standard output.
func (a archive) run(ctx context.Context, dir, command string, args ...string) (string, error) {
	return Output(ctx, dir, command, append(append([]string{}, a.options...), args...)...)
}

// mirror is where this machine has its release's main suite from.
func (a archive) mirror(ctx context.Context) (string, error) {
	release, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "", fmt.Errorf("find mirror: %w", err)
	}
	list, err := a.run(ctx, "", "apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages")
	if err != nil {
		return "", fmt.Errorf("find mirror: %w", err)
	}
	return parseMirror(list, string(release))
}

// parseMirror finds the archive of the release among lines "URI CODENAME".
func parseMirror(list, release string) (string, error) {
	suite := codename(release)
	for line := range strings.Lines(list) {
		if f := strings.Fields(line); len(f) == 2 && suite != "" && f[1] == suite {
			return f[0], nil
		}
	}
	return "", fmt.Errorf("find mirror: apt knows no archive of %q; is this Debian, and did apt-get update run?", suite)
}

// codename reads the name of the release from the text of os-release(5).
func codename(release string) (name string) {
	for line := range strings.Lines(release) {
		if value, ok := strings.CutPrefix(line, "VERSION_CODENAME="); ok {
			name = strings.Trim(strings.TrimSpace(value), `"'`)
		}
	}
	return name
}

// show describes the candidate version of a package.
func (a archive) show(ctx context.Context, pkg string) (string, error) {
	return a.run(ctx, "", "apt-cache", "show", "--no-all-versions", pkg)
}

// dependency is one package in one exact version.
type dependency struct {
	name, version string
}

// versionOf reads the version of a description.
func versionOf(description string) string {
	for line := range strings.Lines(description) {
		if v, ok := strings.CutPrefix(line, "Version:"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// exactDepends reads the dependencies "linux-NAME (= VERSION)" of a description.
func exactDepends(description string) []dependency {
	var all []dependency
	for line := range strings.Lines(description) {
		list, ok := strings.CutPrefix(line, "Depends:")
		if !ok {
			continue
		}
		for dep := range strings.SplitSeq(list, ",") {
			f := strings.Fields(strings.NewReplacer("(", " ", ")", " ").Replace(dep))
			if len(f) == 3 && f[1] == "=" && strings.HasPrefix(f[0], "linux-") {
				all = append(all, dependency{f[0], f[2]})
			}
		}
	}
	return all
}
