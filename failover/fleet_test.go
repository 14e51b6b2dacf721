package failover_test

import (
	"bufio"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/probe"
)

// TestFleets plays the stories of testdata/fleet, of several observers with one
// store. A line is one of a scenario's, told to all of them, or to one:
//
//	observers mon-a/az-1 mon-b/az-2 mon-c/az-3
//	+2s mon-b: orders-db/primary refused
//	+0s store: write app/orders-db/URL0 primary
//
// A frozen observer stands still, his transactions with him, until he is thawed. One
// that is apart is not reached by the others, nor reaches them, until they are
// together: only the store is between them. "observers NAME…" reloads the list of
// all that are configured.
func TestFleets(t *testing.T) { playAll(t, "testdata/fleet/*.txt", playFleet) }

// fleet is several worlds with one store, one clock and one tale.
type fleet struct {
	worlds []*world
	frozen map[string]bool
	apart  map[string]bool // who is not reached by the others, nor reaches them
	now    time.Time
	polled time.Time
	look   func() // after each slice of time; nil: nobody does
}

func newFleet(t teller, story string) *fleet {
	f := &fleet{frozen: map[string]bool{}, apart: map[string]bool{}}
	var members []string
	for line := range strings.Lines(story) {
		if words := strings.Fields(line); len(words) > 1 && words[0] == "observers" {
			members = words[1:]
		}
	}
	var names []string
	for _, member := range members {
		name, _, _ := strings.Cut(member, "/")
		names = append(names, name)
	}
	for i, member := range members {
		w := newWorld(t, story)
		_, zone, _ := strings.Cut(member, "/")
		w.cfg.Observer, w.cfg.Zone, w.cfg.Observers = names[i], zone, names
		w.cfg.Seed[1] = byte(i)
		w.as = names[i] + "  "
		if i > 0 {
			w.store, w.out = f.worlds[0].store, f.worlds[0].out
		}
		w.boot()
		f.worlds = append(f.worlds, w)
		f.now = w.now
	}
	return f
}

// slice is how closely the worlds follow one another.
const slice = 5 * time.Millisecond

func (f *fleet) run(until time.Time) {
	for f.now.Before(until) {
		f.now = f.now.Add(slice)
		f.poll()
		for _, w := range f.worlds {
			if !f.frozen[w.cfg.Observer] {
				w.run(f.now)
			}
		}
		if f.look != nil {
			f.look()
		}
	}
}

// poll has every observer ask the others how they are, once a second.
func (f *fleet) poll() {
	if f.now.Sub(f.polled) < time.Second {
		return
	}
	f.polled = f.now
	for _, w := range f.worlds {
		for _, other := range f.worlds {
			ev := failover.Polled{Observer: other.cfg.Observer}
			switch name := other.cfg.Observer; {
			case f.frozen[w.cfg.Observer], w == other, !slices.Contains(w.cfg.Observers, name):
				continue
			case f.frozen[name], f.apart[name], f.apart[w.cfg.Observer]:
				ev.Err = "timeout"
			default:
				ev.Health = other.engine.Health(other.at(f.now))
			}
			w.later(0, ev)
		}
	}
}

func (f *fleet) do(t teller, who string, words []string, line string) {
	for i, w := range f.worlds {
		switch {
		case who == "store" && i > 0, who != "" && who != "store" && who != w.cfg.Observer:
		case words[0] == "freeze":
			w.say("— freeze")
			f.frozen[w.cfg.Observer] = true
		case words[0] == "thaw" && !f.frozen[w.cfg.Observer], words[0] != "thaw" && f.frozen[w.cfg.Observer] && who != "store":
			// nothing happens to one who stands still, but around him
			var c probe.Class
			if len(words) == 2 && c.UnmarshalText([]byte(words[1])) == nil {
				w.truth[words[0]] = c
			}
		case words[0] == "observers":
			next := w.cfg
			next.Observers = words[1:]
			w.say("— observers %s", strings.Join(words[1:], " "))
			w.reloadTo(next)
		case words[0] == "apart", words[0] == "together":
			w.say("— %s", words[0])
			f.apart[w.cfg.Observer] = words[0] == "apart"
		case words[0] == "thaw":
			from := w.now
			f.frozen[w.cfg.Observer], w.now = false, f.now
			w.say("— thaw")
			w.step(failover.Stood{From: from})
		default:
			w.do(words, line)
		}
	}
}

func playFleet(t *testing.T, story string) string {
	f, x := newFleet(t, story), newWatcher()
	for _, w := range f.worlds {
		w.watcher = x
	}
	f.play(t, story)
	if x.end(f.worlds[0]); len(x.harms) > 0 {
		t.Errorf("harm is done: %q", x.harms)
	}
	for _, w := range f.worlds {
		if !f.frozen[w.cfg.Observer] {
			w.out.WriteString("\n" + w.cfg.Observer)
			w.end()
		}
	}
	return f.worlds[0].out.String()
}

// play has happen what the lines of a story say.
func (f *fleet) play(t teller, story string) {
	scan := bufio.NewScanner(strings.NewReader(story))
	for scan.Scan() {
		line, _, _ := strings.Cut(scan.Text(), "#")
		words := strings.Fields(line)
		if len(words) == 0 || slices.Contains([]string{"resource", "observers"}, words[0]) {
			continue
		}
		after, err := time.ParseDuration(strings.TrimPrefix(words[0], "+"))
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		f.run(f.now.Add(after))
		who, named := strings.CutSuffix(words[1], ":")
		if words = words[1:]; named {
			words = words[1:]
		} else {
			who = ""
		}
		f.do(t, who, words, line)
	}
}
