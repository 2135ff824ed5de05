package machine

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ipe-linux/ipe/internal/linux/abi"
	"github.com/ipe-linux/ipe/internal/ownership"
	"github.com/ipe-linux/ipe/internal/trust"
	"github.com/ipe-linux/ipe/policy"
	"github.com/ipe-linux/ipe/sign"
)

// A kernel that can enforce is the beginning. What follows looks at the rest of the road:
// what is to be on this machine before a boot is guarded.

// step is one thing on the road to a guarded boot.
type step struct {
	Name   string    `json:"name"`
	State  abi.State `json:"state"`
	Detail string    `json:"detail"`
	// Fix says what to do about it; empty if there is nothing to do.
	Fix string `json:"fix"`
}

func done(name, format string, args ...any) step {
	return step{Name: name, State: abi.Yes, Detail: fmt.Sprintf(format, args...)}
}

func lacking(name, detail, fix string) step {
	return step{Name: name, State: abi.No, Detail: detail, Fix: fix}
}

// unseen is for what cannot be looked at.
func unseen(name string, err error, fix string) step {
	if errors.Is(err, fs.ErrPermission) {
		fix = "run this as root"
	}
	return step{Name: name, State: abi.Unknown, Detail: err.Error(), Fix: fix}
}

// road is where the installed service and its files are.
type road struct {
	// root is a directory before all paths, empty for this machine.
	root string
	// owned refuses what others than root can change.
	owned func(path string) error
}

func (r road) at(path string) string { return filepath.Join("/", r.root, path) }

// ahead looks at all of it.
func (r road) ahead() []step {
	anchors, certificates := r.certificates()
	return []step{r.rootVerity(), certificates, r.policies(anchors), r.unit(), r.early()}
}

func thisRoad() road { return road{owned: ownership.Check} }

// certificates looks at what the service trusts.
func (r road) certificates() (*sign.Keyring, step) {
	const name = "trusted certificates"
	dir := r.at(trustDir)
	const put = "install -m 644 signer.pem " + trustDir + "/ and, if iped runs, systemctl reload iped; not needed with --trust kernel"
	if _, err := os.ReadDir(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, lacking(name, dir+" does not exist", "mkdir -p "+trustDir+"; "+put)
	} else if err != nil {
		return nil, unseen(name, err, "look at what "+dir+" is")
	}
	if err := r.owned(dir); err != nil {
		return nil, lacking(name, err.Error(), "chown root:root and chmod go-w what is named, or iped takes no certificate from there")
	}
	ring, skipped, err := trust.Read(dir)
	if err != nil {
		return nil, unseen(name, err, "look at what "+dir+" is")
	}
	for _, c := range r.certificateFiles(dir) {
		if err := r.owned(c); err != nil {
			skipped = append(skipped, err)
		}
	}
	n := len(ring.Certificates())
	switch {
	case len(skipped) > 0:
		return ring, lacking(name, oneLine(skipped), "mend or remove the file; only root may be able to change it")
	case n == 0:
		return ring, lacking(name, "none in "+dir+": no policy can be loaded", put)
	}
	return ring, done(name, "%d in %s", n, dir)
}

func (r road) certificateFiles(dir string) (files []string) {
	entries, _ := os.ReadDir(dir) // it was read a moment ago
	for _, e := range entries {
		if slices.Contains([]string{".pem", ".crt", ".cer", ".der"}, strings.ToLower(filepath.Ext(e.Name()))) {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	return files
}

// Where the service keeps what was deployed: an index, and messages by their hash.
const (
	stateDir    = "/var/lib/ipe"
	stateIndex  = "index"
	statePolicy = "policies"
	messageEnd  = ".p7b"
)

// policies looks at what the next start would begin with.
func (r road) policies(anchors *sign.Keyring) step {
	const name = "stored policies"
	dir := r.at(stateDir)
	const deploy = "ipe policy load FILE.p7b, then ipe policy activate NAME"
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return lacking(name, "none: iped has never run", deploy)
	}
	if err := r.owned(dir); err != nil && !errors.Is(err, fs.ErrPermission) {
		return lacking(name, err.Error(), "chown root:root and chmod go-w what is named: others could choose what is active")
	}
	entries, err := os.ReadDir(filepath.Join(dir, statePolicy))
	if errors.Is(err, fs.ErrNotExist) {
		return lacking(name, "none in "+dir, deploy)
	}
	if err != nil {
		return unseen(name, err, "look at what "+dir+" is")
	}
	var wrong []error
	good := 0
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), messageEnd) {
			continue
		}
		if err := checkStored(filepath.Join(dir, statePolicy, e.Name()), anchors); err != nil {
			wrong = append(wrong, err)
		} else {
			good++
		}
	}
	_, err = os.Stat(filepath.Join(dir, stateIndex))
	switch {
	case len(wrong) > 0 && len(anchors.Certificates()) == 0 && errors.Is(errors.Join(wrong...), sign.ErrUntrusted):
		return unseen(name, errors.New("no certificate that counts vouches for them; with --trust kernel the kernel says whether they are taken"), "ipe status tells, if iped runs")
	case len(wrong) > 0:
		return lacking(name, oneLine(wrong), "ipe status says whether it is the active one; put the signer's certificate into "+trustDir+", or deploy the policy anew")
	case good == 0:
		return lacking(name, "none in "+dir, deploy)
	case err != nil:
		return lacking(name, "nothing says which is active: "+err.Error(), "ipe policy activate NAME")
	}
	return done(name, "%d in %s, all signed by whom the service trusts", good, dir)
}

// checkStored does with a stored message what a start does.
func checkStored(path string, anchors *sign.Keyring) error {
	message, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(message)
	if hex.EncodeToString(sum[:])+messageEnd != filepath.Base(path) {
		return fmt.Errorf("%s is damaged: it has another hash than its name", path)
	}
	e, err := sign.Verify(message, anchors)
	if err == nil {
		_, err = policy.Parse(e.Content)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func oneLine(errs []error) string {
	return strings.ReplaceAll(errors.Join(errs...).Error(), "\n", "; ")
}

// Where systemd looks for units and for what generators made.
var (
	unitDirs = []string{"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}
	wantDirs = []string{"sysinit.target.wants", "sysinit.target.requires"}
)

const unitName = "iped.service"

// unit looks whether the next boot starts iped.
func (r road) unit() step {
	const name = "service at boot"
	if !r.any(unitDirs, unitName) {
		return lacking(name, "there is no unit "+unitName, "make install, or the package, puts it there")
	}
	for _, w := range wantDirs {
		if r.any(unitDirs, filepath.Join(w, unitName)) {
			return done(name, "%s is enabled", unitName)
		}
	}
	return lacking(name, unitName+" is not enabled: the next boot is not guarded", "systemctl enable iped")
}

// any reports whether a name is in one of the directories, if only as a link to what is
// not there yet.
func (r road) any(dirs []string, name string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool {
		_, err := os.Lstat(r.at(filepath.Join(dir, name)))
		return err == nil
	})
}

var generatorDirs = []string{"/etc/systemd/system-generators", "/usr/local/lib/systemd/system-generators", "/usr/lib/systemd/system-generators", "/lib/systemd/system-generators"}

// early looks whether iped starts before what it is to judge.
func (r road) early() step {
	const name, generator, order = "early start", "iped-order", "iped.service.d/10-order.conf"
	switch {
	case !r.any(generatorDirs, generator):
		return lacking(name, "the generator "+generator+" is missing: udev and what it starts run unjudged before iped", "make install, or the package, puts it there")
	case r.any([]string{"/run/systemd/generator"}, order):
		return done(name, "before udev and what loads modules")
	case !r.any([]string{stateDir}, stateIndex):
		return lacking(name, "nothing was deployed yet, so iped need not be early", "deploy a policy; from the next boot on it is")
	}
	return lacking(name, "this boot had iped after udev: its state is on a file system of its own, or was not there at boot",
		"reboot if a policy was deployed since; else keep /var and /etc on the root file system, see At boot in iped(8)")
}
