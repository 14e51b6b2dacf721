package failover

import "slices"

// others counts the configured observers besides this one.
func (e *Engine) others() int {
	n := len(e.cfg.Observers)
	if slices.Contains(e.cfg.Observers, e.cfg.Observer) {
		n--
	}
	return n
}

// known reports whether all has been read that a person's command rests on.
func (e *Engine) known() bool {
	return e.controlsOK && !slices.ContainsFunc(e.order, func(name string) bool { return e.res[name].reading == nil })
}
