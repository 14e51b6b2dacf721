package failover_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

var (
	fleets    = flag.Int("fleets", 20, "how many made-up stories of fleets to play")
	fleetFrom = flag.Uint64("fleet-from", 1, "the seed of the first one")
)

// TestMadeUpFleets plays stories of three observers that were made up by a seed:
// each sees the servers in his own way, loses the store or single replies, stands
// still, dies. At each switch it holds that a majority saw what it rests on, and
// at the end, when all is well again, that the next failure is acted on.
func TestMadeUpFleets(t *testing.T) {
	seen := map[policy.Kind]int{}
	defer func() {
		if t.Logf("switches: %v", seen); seen[policy.Failover] <= *fleets && !t.Failed() {
			t.Errorf("%d failovers in %d stories: they prove little", seen[policy.Failover], *fleets)
		}
	}()
	for seed := *fleetFrom; seed < *fleetFrom+uint64(*fleets); seed++ {
		lines := madeUpFleet(seed)
		fault, out := performFleet(t, lines, seen)
		if fault == "" {
			continue
		}
		for again := true; again; { // leave out what it does not need to fail
			again = false
			for i := 1; i < len(lines); i++ {
				less := slices.Delete(slices.Clone(lines), i, i+1)
				if f, o := performFleet(t, less, map[policy.Kind]int{}); kindOf(f) == kindOf(fault) {
					lines, out, again = less, o, true
					break
				}
			}
		}
		t.Fatalf("seed %d: %s\n%s\n\n%s", seed, fault, strings.Join(lines, "\n"), out)
	}
}

const fleetHead = `observers mon-a/az-1 mon-b/az-2 mon-c/az-3
resource r0 a b c sustain=1s
+0s store: write app/r0/URL0 a`

func madeUpFleet(seed uint64) []string {
	rnd := rand.New(rand.NewPCG(seed, 11))
	pick := func(of ...string) string { return of[rnd.IntN(len(of))] }
	who := func() string { return pick("mon-a: ", "mon-b: ", "mon-c: ") }
	lines := []string{fleetHead, "+5s end"}
	for range 4 + rnd.IntN(20) {
		after := pick("0s", "0s", "2ms", "5ms", "50ms", "300ms", "1s", "1s", "2s", "3s", "8s", "20s")
		var what string
		switch n := rnd.IntN(20); {
		case n < 8:
			one := pick("", "", "", who(), who())
			what = one + "r0/" + pick("a", "a", "a", "a", "b", "c") + " " + pick("refused", "refused", "refused", "timeout", "timeout", "reset", "ok", pick("auth", "resolve", "degraded"))
		case n < 10:
			what = who() + "freeze"
		case n < 11:
			what = who() + "thaw"
		case n < 13:
			what = who() + "store " + pick("down", "up", "up")
		case n < 16:
			what = who() + pick("lose", "drop", "slow") + " " + pick("open", "commit", "commit", "vote", "vote", "close", "read", "resolve") + " 3s"
		case n < 17:
			what = who() + pick("restart", "kill")
		case n < 18:
			what = who() + "order " + pick("pause r0", "resume r0", "resume r0", "switchover r0 to=b", "ack r0", "clear r0 to=a", "clear r0 to=b")
		case n < 19:
			what = "store: write app/r0/URL0 " + pick("a", "b", "c")
		default:
			what = who() + "lag " + pick("0s", "100ms", "700ms")
		}
		lines = append(lines, "+"+after+" "+what)
	}
	return lines
}

// witness remembers when each observer last found an endpoint bad.
type witness struct {
	f    *fleet
	bad  map[string]time.Time // by observer and endpoint
	seen map[policy.Kind]int  // switches
}

func (x *witness) look() {
	for _, w := range x.f.worlds {
		for name, class := range w.truth {
			if class.Evidence() {
				x.bad[w.cfg.Observer+" "+name] = x.f.now
			}
		}
	}
}

// saw holds that a majority had reason to call the endpoint down that an automatic
// failover left, within the time that a ballot and its conversations take.
func (x *witness) saw(w *world, f failover.Transact) {
	for _, op := range f.Ops {
		if op.Verb != failover.CAS || !strings.HasPrefix(op.Key, "reattach/history/") {
			continue
		}
		var rec failover.Record
		if err := json.Unmarshal(op.Value, &rec); err != nil {
			w.t.Fatal(err)
		}
		if x.seen[rec.Kind]++; rec.Kind != policy.Failover || !rec.Automatic {
			continue
		}
		down := 0
		for _, v := range rec.Votes {
			for _, saw := range v.Saw {
				if saw.Endpoint != rec.From || saw.State != policy.Down {
					continue
				}
				if ago := x.f.now.Sub(x.bad[v.Observer+" r0/"+rec.From]); ago > 8*time.Second {
					w.t.Errorf("a vote without reason: %s called %s down, which it had found well for %v", v.Observer, rec.From, ago)
				}
				down++
			}
		}
		if down < 2 {
			w.t.Errorf("no majority: %d of 3 votes in %+v", down, rec.Votes)
		}
	}
}

func performFleet(t *testing.T, lines []string, seen map[policy.Kind]int) (fault, out string) {
	c := &critic{}
	var f *fleet
	defer func() {
		switch r := recover().(type) {
		case nil, enough:
		default:
			c.faults = append(c.faults, fmt.Sprintf("panic: %v", r))
		}
		if len(c.faults) > 0 {
			fault, out = c.faults[0], f.worlds[0].out.String()
		}
	}()
	story := strings.Join(lines, "\n")
	f = newFleet(c, story)
	x := &witness{f, map[string]time.Time{}, seen}
	f.look = x.look
	for _, w := range f.worlds {
		w.landed = func(tx failover.Transact) { x.saw(w, tx) }
	}
	f.play(c, story)
	f.mend(c)
	f.checkTold(c)
	return
}

// checkTold holds that each switch was told by somebody, and that no claim is left
// of what has ended for all.
func (f *fleet) checkTold(t teller) {
	reply, err := f.worlds[0].store.Txn(context.Background(), []failover.Op{{Verb: failover.GetTree, Key: "reattach/"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range f.worlds {
		w.journal.keepUntil(f.now)
	}
	anybody := func(is func(*world) bool) bool { return slices.ContainsFunc(f.worlds, is) }
	for _, entry := range reply.Entries {
		switch {
		case strings.HasPrefix(entry.Key, "reattach/history/"):
			var rec failover.Record
			f.worlds[0].decode(entry, &rec)
			key := fmt.Sprintf("%s/%d.%s", rec.Resource, rec.Epoch, rec.Kind)
			if rec.Kind != policy.Adopt && !anybody(func(w *world) bool { return w.journal.told[key] > 0 }) {
				t.Errorf("never told: %s", key)
			}
		case strings.HasPrefix(entry.Key, "reattach/notice/"):
			var claim failover.Claim
			f.worlds[0].decode(entry, &claim)
			goesOn := func(w *world) bool {
				return slices.ContainsFunc(w.journal.lasting, func(n failover.Notice) bool {
					return n.Key == claim.Key || n.Outage != "" && n.Outage == claim.Outage
				})
			}
			if claim.Lasts && !anybody(goesOn) {
				t.Errorf("left is a claim on nothing: %s: %s", strings.TrimPrefix(entry.Key, "reattach/"), entry.Value)
			}
		}
	}
}

// mend has all well again, and then the attached endpoint die for everybody.
func (f *fleet) mend(t teller) {
	for _, w := range f.worlds {
		name := w.cfg.Observer
		if f.frozen[name] {
			f.do(t, name, []string{"thaw"}, "")
		}
		w.do([]string{"mend"}, "")
		w.do([]string{"lag", "0s"}, "")
		w.truth = map[string]probe.Class{}
	}
	f.run(f.now.Add(5 * time.Second)) // everybody sees what there is
	f.worlds[0].do([]string{"order", "resume", "r0"}, "")
	f.run(f.now.Add(2 * time.Minute))
	for _, ep := range []string{"a", "b", "c"} {
		f.worlds[1].do([]string{"order", "clear", "r0", "to=" + ep, "force=taint"}, "")
		f.run(f.now.Add(time.Second))
	}
	f.worlds[2].do([]string{"order", "ack", "r0"}, "")
	f.run(f.now.Add(2 * time.Minute))
	s := f.worlds[0].engine.Status(f.now).Resources[0]
	if !s.Protected || s.Condition != "ours" {
		t.Errorf("not protected after all is well: %s, %s", s.Condition, s.Why)
	}
	was := s.Attached
	f.do(t, "", []string{"r0/" + was, "refused"}, "")
	f.run(f.now.Add(30 * time.Second))
	for _, w := range f.worlds {
		if s := w.engine.Status(f.now).Resources[0]; s.Attached == was {
			t.Errorf("not switched: %s is attached 30 s after it died for all, held %+v", was, s.Hold)
		}
	}
	f.run(f.now.Add(20 * time.Second))
	if left, err := f.worlds[0].store.Txn(context.Background(), []failover.Op{{Verb: failover.GetTree, Key: "reattach/ballot/r0/"}}); err != nil || len(left.Entries) > 0 {
		t.Errorf("left at rest: %v %v", left.Entries, err)
	}
}
