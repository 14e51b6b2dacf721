package chaos

import (
	"slices"
	"testing"
	"time"
)

// strike kills the primary while the two others are cut off from it, so that their
// votes take until their conversations time out: the ballot that the first one
// opens stays open for about two seconds. It returns the opener, when his ballot
// was seen, and when the primary was killed.
func (f *fleet) strike() (opener *observer, opened, killed time.Time) {
	f.t.Helper()
	together(
		func() { killed = f.resource.primary.KillProcess() },
		func() { f.observers[1].cut(f.resource.primary) },
		func() { f.observers[2].cut(f.resource.primary) },
	)
	opening, opened := f.opened(sustain + 2*ballotTime)
	return f.named(opening.Opener), opened, killed
}

// hold stops the two other observers and kills the primary, so that the first one
// opens a ballot that nobody else votes on before he is resumed. It returns the
// opener, and when his ballot was seen.
func (f *fleet) hold() (opener *observer, opened time.Time) {
	f.t.Helper()
	together(f.observers[1].stop, f.observers[2].stop)
	f.resource.primary.KillProcess()
	opening, opened := f.opened(sustain + 2*ballotTime)
	if opening.Opener != f.observers[0].name {
		f.t.Fatalf("%s opened the ballot, who is stopped", opening.Opener)
	}
	return f.observers[0], opened
}

// release resumes the others, and returns how long it took then until the handle
// was changed.
func (f *fleet) release(opened time.Time) time.Duration {
	f.t.Helper()
	f.midBallot(opened)
	began := time.Now()
	together(f.observers[1].resume, f.observers[2].resume)
	return f.switched(4 * ballotTime).Sub(began)
}

// late is by how much a switch may come later than the plain one that is measured
// beside it: a ballot's time, and less than half another one for what two ticks of
// the daemon, its transactions and the watcher take on a busy machine.
const late = ballotTime + 1800*time.Millisecond

// TestOpenerDies: the observer that opened the ballot is killed in the middle of
// it, or stopped for half a minute. The switch is late by a ballot's time at most,
// and happens once.
func TestOpenerDies(t *testing.T) {
	need(t)
	var plain time.Duration
	t.Run("nothing happens to him", func(t *testing.T) {
		f := newFleet(t, newResource(t))
		_, opened := f.hold()
		plain = f.release(opened)
		f.once(time.Second)
		t.Logf("switched after %v", plain.Round(time.Millisecond))
	})
	if plain == 0 {
		t.FailNow()
	}
	inTime := func(t *testing.T, took time.Duration) {
		t.Helper()
		t.Logf("switched after %v, %v later than the plain one", took.Round(time.Millisecond), (took - plain).Round(time.Millisecond))
		if took > plain+late {
			t.Errorf("switched after %v; undisturbed it took %v", took, plain)
		}
	}
	t.Run("killed", func(t *testing.T) {
		f := newFleet(t, newResource(t))
		opener, opened := f.hold()
		opener.kill()
		inTime(t, f.release(opened))
		if rec := f.once(time.Second); rec.By == opener.name {
			t.Errorf("it was switched by %s, who was killed", rec.By)
		}
	})
	t.Run("stopped for 30 s", func(t *testing.T) {
		f := newFleet(t, newResource(t))
		opener, opened := f.hold()
		opener.stop()
		stopped := time.Now()
		inTime(t, f.release(opened))
		after(30*time.Second - time.Since(stopped))
		opener.resume()
		if rec := f.once(2 * ballotTime); rec.By == opener.name {
			t.Errorf("it was switched by %s, who was stopped", rec.By)
		}
		f.says(opener, "attached standby")
	})
}

// midBallot makes sure that the fault hit while the ballot was open and nothing
// had been switched.
func (f *fleet) midBallot(opened time.Time) {
	f.t.Helper()
	looks := f.watch.seen(f.resource)
	if i := slices.IndexFunc(looks, func(l look) bool { return l.handle.value != f.resource.url("primary") }); i >= 0 {
		f.t.Fatalf("it was switched %v after its ballot was seen: before the fault", looks[i].at.Sub(opened))
	}
}
