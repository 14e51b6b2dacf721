package notify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reattach/reattach/failover"
)

// world is what happens in a made-up world: matters begin, go on and end, the
// destination comes and goes, and the daemon is started anew.
type world struct {
	t      *testing.T
	rng    *rand.Rand
	path   string
	sender Sender
	in     *inbox
	o      *Outbox
	stop   func()
	told   int                        // notices so far: the text of each is its number
	begun  map[string]failover.Notice // what lasts, by its matter
	wants  []failover.Notice          // all that is to be delivered
}

func (s *world) start() { s.o, s.stop = running(s.t, s.path, to(dest("ops", s.sender))) }

func (s *world) keep(ns ...failover.Notice) {
	for i := range ns {
		s.told++
		ns[i].Text, ns[i].At = fmt.Sprint(s.told), time.Now()
		s.wants = append(s.wants, ns[i])
		switch {
		case ns[i].Over:
			delete(s.begun, ns[i].Matter())
		case ns[i].Lasts:
			s.begun[ns[i].Matter()] = ns[i]
		}
	}
	keep(s.t, s.o, ns...)
}

// begins is a notice of something new: an outage that never was before, or a
// condition that may have been.
func (s *world) begins() failover.Notice {
	r := fmt.Sprintf("r%d", s.rng.IntN(12))
	if s.rng.IntN(2) == 0 {
		return failover.Notice{Key: r + "/denied", Event: "denied", Resource: r, Lasts: true}
	}
	outage := fmt.Sprintf("%s/%d", r, s.told)
	return failover.Notice{Key: outage + ".held", Event: "held", Resource: r, Outage: outage, Lasts: true}
}

func (s *world) ends(matter string) failover.Notice {
	n := s.begun[matter]
	end := failover.Notice{Key: n.Key, Event: n.Event, Resource: n.Resource, Outage: n.Outage, Over: true}
	if n.Outage != "" {
		end.Key, end.Event = n.Outage+".recovered", "recovered"
	}
	return end
}

// any is one of the matters that last.
func (s *world) any() string {
	all := slices.Sorted(maps.Keys(s.begun))
	return all[s.rng.IntN(len(all))]
}

func (s *world) step() {
	switch s.rng.IntN(10) {
	case 0, 1, 2:
		var ns []failover.Notice
		seen := map[string]bool{}
		for range 1 + s.rng.IntN(9) {
			if n := s.begins(); s.begun[n.Matter()].Key == "" && !seen[n.Matter()] {
				ns, seen[n.Matter()] = append(ns, n), true
			}
		}
		s.keep(ns...)
	case 3, 4:
		for range 1 + s.rng.IntN(4) {
			if len(s.begun) > 0 {
				s.keep(s.ends(s.any()))
			}
		}
	case 5:
		if len(s.begun) > 0 {
			if n := s.begun[s.any()]; n.Outage != "" && n.Event == "held" {
				n.Key, n.Event = n.Outage+".failover", "failover"
				s.keep(n)
			}
		}
	case 6:
		s.keep(failover.Notice{Key: fmt.Sprintf("r1/%d.switchover", s.told), Event: "switchover", Resource: "r1"})
	case 7:
		s.in.answers(func(Message) error { return errors.New("down") })
	case 8:
		s.in.answers(nil)
	case 9:
		s.stop()
		s.start()
	}
	if s.rng.IntN(2) == 0 {
		time.Sleep(time.Duration(s.rng.Int64N(int64(2 * time.Second))))
	} else {
		time.Sleep(time.Duration(s.rng.Int64N(int64(10 * time.Minute))))
	}
}

// end lets everything come to its end, and looks at what the destination heard.
func (s *world) end() {
	s.in.answers(nil)
	for _, matter := range slices.Sorted(maps.Keys(s.begun)) {
		s.keep(s.ends(matter))
	}
	time.Sleep(20 * time.Minute)
	times, over, by := map[string]int{}, map[string]bool{}, map[string]string{}
	for _, m := range s.in.messages() {
		for _, n := range m.Notices {
			times[n.Text]++
			by[n.Text] = m.Matter
			if m.Over && !n.Over {
				s.t.Errorf("%s is told as over with %s", m.Matter, n.Key)
			}
			if _, merged := s.sender.(Batcher); merged && m.Matter != n.Matter() {
				s.t.Errorf("%s is merged into %s", n.Key, m.Matter)
			}
		}
		over[m.Matter] = m.Over
	}
	last := map[string]string{} // by matter: what its latest beginning was told by
	for _, n := range s.wants {
		if times[n.Text] != 1 {
			s.t.Errorf("%s (%s) was told %d times", n.Key, n.Text, times[n.Text])
		}
		if n.Over && by[n.Text] != last[n.Matter()] {
			s.t.Errorf("%s (%s) was told by %s, its beginning by %s", n.Key, n.Text, by[n.Text], last[n.Matter()])
		}
		last[n.Matter()] = by[n.Text]
		if n.Lasts && !over[by[n.Text]] {
			s.t.Errorf("%s was not told as over", by[n.Text])
		}
	}
	for _, line := range states(s.t, s.o) {
		if !strings.HasSuffix(line, "ops:sent") {
			s.t.Error(line)
		}
	}
	s.o.mu.Lock()
	defer s.o.mu.Unlock()
	if q := s.o.queue("ops"); len(q.storms)+len(q.items)+len(s.o.matters)+len(s.o.live)+len(s.o.active) != 0 {
		s.t.Errorf("left: %d storms, %d items, matters %v, %d records, active %v", len(q.storms), len(q.items), s.o.matters, len(s.o.live), s.o.active)
	}
}

// batching is an inbox that takes many at once.
type batching struct{ *inbox }

func (b batching) SendAll(ctx context.Context, ms []Message) error {
	for i, m := range ms {
		if err := b.Send(ctx, m); err != nil {
			if i > 0 {
				panic("the answer changed on the way")
			}
			return err
		}
	}
	return nil
}

// TestStories makes up worlds: whatever happens, everything is told once, every
// end by the name of its beginning, and nothing is left behind.
func TestStories(t *testing.T) {
	for seed := range uint64(24) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in := &inbox{}
				s := &world{t: t, rng: rand.New(rand.NewPCG(seed, 1)), path: file(t), in: in, sender: in, begun: map[string]failover.Notice{}}
				if seed%4 == 3 {
					s.sender = batching{in}
				}
				s.start()
				for range 30 {
					s.step()
				}
				s.end()
			})
		})
	}
}
