package control

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/errno"
)

func (r request) logLoad(envelope []byte) (api.Info, error) {
	r.begin()
	d, err := r.load(envelope)
	r.recordLoad(d, err)
	if err != nil {
		r.log.tell(slog.LevelWarn, kindRefused, "policy refused", "errno", errno.Symbol(err), "error", err)
		return api.Info{}, fmt.Errorf("load policy: %w", err)
	}
	r.put(d)
	r.log.tell(levelNotice, kindPolicyLoaded, "policy loaded", "policy_name", d.name, "policy_version", d.policy.Version.String(),
		"policy_digest", d.digest(), "signers", d.signers)
	return r.infoOf(d), nil
}

func (r request) load(envelope []byte) (*deployed, error) {
	d, err := r.open(envelope)
	if err != nil {
		return nil, err
	}
	if _, err := r.lookup(d.name); err == nil {
		return nil, fmt.Errorf("%s: %w", policyNamed(d.name), api.ErrExists)
	}
	if err := api.CheckName(d.name); err != nil {
		return nil, err
	}
	if r.keeper == nil {
		return d, r.store.Put(d.entry())
	}
	return d, r.loadKept(d)
}

// loadKept loads d into a kernel that keeps policies itself, then stores it.
func (r request) loadKept(d *deployed) error {
	if err := r.checkFloor(d); err != nil {
		return err
	}
	if err := r.keeper.Load(d.envelope); err != nil {
		return err
	}
	if err := r.keep(d); err != nil {
		return errors.Join(err, r.keeper.Delete(d.name))
	}
	return nil
}

func (r request) logUpdate(name string, envelope []byte) (api.Info, error) {
	r.begin()
	d, err := r.update(name, envelope)
	if err != nil {
		r.recordLoad(nil, err)
		r.log.tell(slog.LevelWarn, kindRefused, "update refused", "policy_name", name, "errno", errno.Symbol(err), "error", err)
		return api.Info{}, fmt.Errorf("update policy: %w", err)
	}
	r.log.tell(levelNotice, kindPolicyUpdated, "policy updated", "policy_name", d.name, "policy_version", d.policy.Version.String(),
		"policy_digest", d.digest(), "signers", d.signers)
	return r.infoOf(d), nil
}

func (r request) update(name string, envelope []byte) (*deployed, error) {
	old, err := r.lookup(name)
	if err != nil {
		return nil, err
	}
	d, err := r.open(envelope)
	if err != nil {
		return nil, err
	}
	if d.name != name {
		return nil, fmt.Errorf("%s, update is %s: %w", policyNamed(name), policyNamed(d.name), api.ErrOtherName)
	}
	if old.policy != nil && d.policy.Version.Compare(old.policy.Version) <= 0 {
		return nil, fmt.Errorf("%s %s, update is %s: %w", policyNamed(name), old.policy.Version, d.policy.Version, api.ErrNotNewer)
	}
	if err := r.checkFloor(d); err != nil {
		return nil, err
	}
	return d, r.replace(old, d)
}

// replace puts d in the place of old. It decides if old does, or would if it
// still verified.
func (r request) replace(old, d *deployed) error {
	active, mode := r.current()
	decides := old == active || old.err != nil && r.isStoredActive(d.name)
	persist := func() error { return r.persistUpdate(d, decides) }
	if !decides {
		if r.keeper != nil {
			if err := r.keeper.Update(d.name, d.envelope); err != nil {
				return err
			}
		}
		if err := persist(); err != nil {
			return err
		}
		r.put(d)
		r.recordLoad(d, nil)
		return nil
	}
	if err := r.guard.askSwitch(active, d, mode); err != nil {
		return err
	}
	if err := r.switchTo(&r.who, active, d, persist); err != nil {
		return err
	}
	r.put(d)
	r.recordLoad(d, nil)
	r.became(&r.who, active, d)
	return nil
}

func (r request) logActivate(name string) error {
	r.begin()
	if err := r.activate(name); err != nil {
		r.log.tell(slog.LevelWarn, kindRefused, "activation refused", "policy_name", name, "errno", errno.Symbol(err), "error", err)
		return fmt.Errorf("activate policy: %w", err)
	}
	return nil
}

func (r request) activate(name string) error {
	d, err := r.lookup(name)
	if err != nil {
		return err
	}
	active, mode := r.current()
	if d == active && r.inForce(d) {
		return r.keepActive(d)
	}
	if d.err != nil {
		return fmt.Errorf("%s: %w", policyNamed(name), &unverifiedError{d.err})
	}
	if active != nil && active.policy != nil && active.policy.Version.Compare(d.policy.Version) > 0 {
		return fmt.Errorf("%s %s, active is %s %s: %w", policyNamed(name), d.policy.Version, policyNamed(active.name), active.policy.Version, api.ErrOlder)
	}
	if err := r.checkFloor(d); err != nil {
		return err
	}
	if err := r.guard.askSwitch(active, d, mode); err != nil {
		return err
	}
	if err := r.switchTo(&r.who, active, d, func() error { return r.persistActive(d) }); err != nil {
		return err
	}
	r.became(&r.who, active, d)
	return nil
}

func (r request) logDelete(name string) error {
	r.begin()
	if err := r.delete(name); err != nil {
		return fmt.Errorf("delete policy: %w", err)
	}
	r.log.tell(levelNotice, kindPolicyDeleted, "policy deleted", "policy_name", name)
	return nil
}

func (r request) delete(name string) error {
	d, err := r.lookup(name)
	if err != nil {
		return err
	}
	if active, _ := r.current(); d == active {
		return fmt.Errorf("%s: %w", policyNamed(name), api.ErrIsActive)
	}
	if r.isStoredActive(name) && !d.boot {
		return fmt.Errorf("%s, with the next start: %w", policyNamed(name), api.ErrIsActive)
	}
	if r.keeper != nil && d.held {
		if err := r.keeper.Delete(name); err != nil {
			return err
		}
	}
	if _, ok := r.store.Item(name); ok {
		if err := r.store.Delete(name); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(name)
	delete(r.problems, policyNamed(name))
	return nil
}
