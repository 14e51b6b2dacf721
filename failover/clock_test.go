package failover_test

import (
	"testing"
	"time"
	"unsafe"

	"github.com/reattach/reattach/failover"
)

// later is t after the wall clock and the monotonic clock went on by different
// times, as they do on a machine that was suspended or set. Package time offers
// no way to make such a time, so its second word, which holds the monotonic
// reading, is moved.
func later(t time.Time, wall, mono time.Duration) time.Time {
	t = t.Add(wall)
	*(*int64)(unsafe.Add(unsafe.Pointer(&t), unsafe.Sizeof(uint64(0)))) += int64(mono - wall)
	return t
}

func TestStood(t *testing.T) {
	now := time.Now()
	if got := later(now, time.Minute, time.Second); got.Sub(now) != time.Second || got.Round(0).Sub(now.Round(0)) != time.Minute {
		t.Fatal("package time has changed inside: the table below proves nothing")
	}
	for name, tt := range map[string]struct {
		wall, mono time.Duration
		want       bool
	}{
		"a tick":                   {100 * time.Millisecond, 100 * time.Millisecond, false},
		"just in time":             {time.Second, time.Second, false},
		"the loop was held up":     {1100 * time.Millisecond, 1100 * time.Millisecond, true},
		"the machine was asleep":   {time.Hour, 100 * time.Millisecond, true},
		"the clock was set ahead":  {2 * time.Second, 100 * time.Millisecond, true},
		"the clock was set back":   {-2 * time.Second, 100 * time.Millisecond, true},
		"the clock is slewed":      {150 * time.Millisecond, 100 * time.Millisecond, false},
		"the clock is slewed back": {-500 * time.Millisecond, 100 * time.Millisecond, false},
	} {
		if got := failover.StoodStill(now, later(now, tt.wall, tt.mono)); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestLate(t *testing.T) {
	now := time.Now()
	before := now.Add(2 * time.Second)
	for name, tt := range map[string]struct {
		wall, mono time.Duration
		want       bool
	}{
		"in time":                          {time.Second, time.Second, false},
		"at the last moment":               {2 * time.Second, 2 * time.Second, false},
		"too late":                         {3 * time.Second, 3 * time.Second, true},
		"too late by the wall clock alone": {time.Hour, time.Second, true},
		"too late by the monotonic alone":  {-time.Hour, 3 * time.Second, true},
	} {
		if got := failover.Late(later(now, tt.wall, tt.mono), before); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if failover.Late(now, time.Time{}) {
		t.Error("what may be sent any time is late")
	}
}
