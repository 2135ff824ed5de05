package machine

import (
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ipe-linux/ipe/internal/hint"
	"github.com/ipe-linux/ipe/internal/linux/abi"
	"github.com/ipe-linux/ipe/internal/ownership"
	"github.com/ipe-linux/ipe/internal/plain"
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
	whom := r.trusts()
	anchors, certificates := r.certificates(whom)
	return []step{r.rootVerity(), certificates, r.policies(anchors, whom), r.unit(), r.early(), r.profile(), r.before()}
}

func thisRoad() road { return road{owned: ownership.Check} }

// certificates looks at those that the service trusts.
func (r road) certificates(whom unitTrust) (*sign.Keyring, step) {
	const name = "trusted certificates"
	var all []*x509.Certificate
	var wrong *step
	for _, path := range whom.paths {
		ring, bad := r.certificatesAt(name, path)
		wrong = cmp.Or(wrong, bad)
		all = append(all, ring.Certificates()...)
	}
	ring := sign.NewKeyring(all...)
	switch {
	case wrong != nil:
		return ring, *wrong
	case len(all) == 0 && whom.kernel:
		return ring, done(name, "none, and the service has %s: the kernel's keyrings count", hint.TrustKernel)
	case len(whom.paths) == 0:
		return ring, lacking(name, "the command line of "+unitName+" names none: no policy can be loaded", "add "+hint.Trust+" "+trustDir+" to it, with systemctl edit iped")
	case len(all) == 0:
		return ring, lacking(name, "none in "+plain.Names(r.allAt(whom.paths))+": no policy can be loaded", putCertificate(whom.paths[0]))
	}
	return ring, done(name, "%d in %s", len(all), plain.Names(r.allAt(whom.paths)))
}

func (r road) allAt(paths []string) (all []string) {
	for _, path := range paths {
		all = append(all, r.at(path))
	}
	return all
}

// putCertificate says how a certificate comes to where it counts.
func putCertificate(path string) string {
	return "install -m 644 signer.pem " + hint.File(path+"/") + " and, if iped runs, systemctl reload iped; not needed with " + hint.TrustKernel
}

// certificatesAt reads one path as iped does; wrong is what keeps it from counting as a whole.
func (r road) certificatesAt(name, path string) (_ *sign.Keyring, wrong *step) {
	at := r.at(path)
	bad := func(s step) (*sign.Keyring, *step) { return nil, &s }
	if _, err := os.Stat(at); errors.Is(err, fs.ErrNotExist) {
		return bad(lacking(name, plain.Name(at)+" does not exist", "mkdir -p "+hint.File(path)+"; "+putCertificate(path)))
	} else if err != nil {
		return bad(unseen(name, err, "look at what "+plain.Name(at)+" is"))
	}
	if err := r.owned(at); err != nil {
		return bad(lacking(name, plain.Error(err), "chown root:root and chmod go-w what is named, or iped takes no certificate from there"))
	}
	ring, skipped, err := trust.Read(at)
	if err != nil {
		return bad(unseen(name, err, "look at what "+plain.Name(at)+" is"))
	}
	for _, c := range r.certificateFiles(at) {
		if err := r.owned(c); err != nil {
			skipped = append(skipped, err)
		}
	}
	if len(skipped) > 0 {
		_, wrong = bad(lacking(name, oneLine(skipped), "mend or remove the file; only root may be able to change it"))
	}
	return ring, wrong
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

// Where the service keeps what was deployed: an index, and messages by their hash; the same
// once more for profiles.
const (
	stateDir    = "/var/lib/ipe"
	stateIndex  = "index"
	statePolicy = "policies"
	stateAsked  = "profiles"
	messageEnd  = ".p7b"
)

// policies looks at what the next start would begin with.
func (r road) policies(anchors *sign.Keyring, whom unitTrust) step {
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
	good, open := 0, 0
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), messageEnd) {
			continue
		}
		switch err := checkStored(filepath.Join(dir, statePolicy, e.Name()), anchors); {
		case err == nil:
			good++
		case mayYetCount(err) && (whom.kernel || whom.unsure):
			open++
		default:
			wrong = append(wrong, err)
		}
	}
	_, err = os.Stat(filepath.Join(dir, stateIndex))
	switch {
	case len(wrong) > 0:
		return lacking(name, oneLine(wrong), "ipe status says whether it is the active one; put the signer's certificate into "+trustDir+", or deploy the policy anew")
	case good+open == 0:
		return lacking(name, "none in "+dir, deploy)
	case err != nil:
		return lacking(name, "nothing says which is active: "+err.Error(), "ipe policy activate NAME")
	}
	if open > 0 {
		return unseen(name, fmt.Errorf("no certificate vouches for %d of %d: %s", open, good+open, whom.whoElse()), "ipe status tells, if iped runs")
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
	if mayYetCount(err) {
		err = cmp.Or(checkText(message), err)
	}
	if err == nil {
		_, err = policy.Parse(e.Content)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// mayYetCount reports whether another key than those of certificates may vouch for a message:
// one that bears the name of a certificate, too.
func mayYetCount(err error) bool {
	return errors.Is(err, sign.ErrUntrusted) || errors.Is(err, sign.ErrRejected)
}

// checkText says what is wrong with a policy whoever signed it.
func checkText(message []byte) error {
	e, err := sign.Inspect(message)
	if err == nil {
		err = e.Refused
	}
	if err == nil {
		_, err = policy.Parse(e.Content)
	}
	return err
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
	if !r.installed() {
		return lacking(name, "there is no unit "+unitName, "make install, or the package, puts it there")
	}
	for _, w := range wantDirs {
		if r.any(unitDirs, filepath.Join(w, unitName)) {
			return done(name, "%s is enabled", unitName)
		}
	}
	return lacking(name, unitName+" is not enabled: the next boot is not guarded", "systemctl enable iped")
}

// installed reports whether there is a service.
func (r road) installed() bool { return r.any(unitDirs, unitName) }

// any reports whether a name is in one of the directories, if only as a link to what is
// not there yet.
func (r road) any(dirs []string, name string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool {
		_, err := os.Lstat(r.at(filepath.Join(dir, name)))
		return err == nil
	})
}
