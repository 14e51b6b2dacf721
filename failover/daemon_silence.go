package failover

import (
	"errors"
	"time"
)

// silence is a time in which the store does not answer. One transaction that is
// lost is everyday; after as long as makes the observer blind, the reason is
// logged. (That it went blind, and sees again, is the engine's to tell.)
type silence struct {
	since time.Time // when the first answer failed to come; zero: it answers
	told  bool
}

// hear logs once why the store does not answer, from the first moment on.
func (d *Daemon) hear(now time.Time, a Answered) {
	s := &d.silence
	switch {
	case errors.Is(a.Err, ErrLate), errors.Is(a.Err, ErrInvalid): // it was not asked
	case a.Err == nil, errors.Is(a.Err, ErrDenied):
		*s = silence{}
	case s.since.IsZero():
		s.since = now
	case !s.told && now.Sub(s.since) >= blindAfter:
		s.told = true
		d.opt.Log.Warn("the store does not answer, and until it does nothing is switched", "since", s.since, "error", a.Err)
	}
}
