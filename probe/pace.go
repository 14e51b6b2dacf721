package probe

import "time"

// Pace says how often an endpoint is probed.
type Pace struct {
	// Interval is the time between two pings on a held session; where none is
	// held, between two fresh conversations.
	Interval time.Duration
	// FreshInterval is the time between two fresh conversations beside a session.
	FreshInterval time.Duration
	// SuspectInterval is the time between two fresh conversations while an
	// endpoint is examined, whether or not earlier ones have ended.
	SuspectInterval time.Duration
	// WriteInterval is the time between two conversations of depth write with the
	// attached endpoint; 0: there are none.
	WriteInterval time.Duration
}
