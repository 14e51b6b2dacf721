package sim

import (
	"time"
	"unsafe"
)

// A time that was read from the clocks of a machine holds two readings: the wall
// clock's, which may be set, and the monotonic one's, which stands still while the
// machine is suspended. The engine compares the latter and writes the former into
// the store. Nothing in package time makes such a time of two given readings, so
// its layout is filled in here; TestTwoClocks holds that package time reads it so.
type reading struct {
	wall uint64
	ext  int64
	loc  *time.Location
}

const (
	hasMonotonic = 1 << 63
	nsecShift    = 30
)

var (
	birth   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) // what the wall says when a simulation begins
	since85 = uint64(birth.Unix() - time.Date(1885, 1, 1, 0, 0, 0, 0, time.UTC).Unix())
)

// moment is the time that has both clocks say so much since birth.
func moment(wall, mono time.Duration) time.Time {
	sec, nsec := int64(wall/time.Second), int64(wall%time.Second)
	if nsec < 0 {
		sec, nsec = sec-1, nsec+int64(time.Second)
	}
	r := reading{wall: hasMonotonic | (since85+uint64(sec))<<nsecShift | uint64(nsec), ext: int64(mono) + int64(time.Hour)}
	return *(*time.Time)(unsafe.Pointer(&r))
}
