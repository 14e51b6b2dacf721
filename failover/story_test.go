package failover_test

import (
	"flag"
	"fmt"
	"maps"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reattach/reattach/policy"
)

var (
	stories   = flag.Int("stories", 200, "how many made-up stories to play")
	storyFrom = flag.Uint64("story-from", 1, "the seed of the first one")
	storyMost = flag.Int("story-failures", 1, "how many failing stories to look for")
)

// TestMadeUpStories plays stories that were made up by a seed, and holds the
// invariants at each transaction by what an oracle beside the engine saw. A
// story that fails is cut down to what makes it fail, and printed as a scenario.
func TestMadeUpStories(t *testing.T) {
	var next atomic.Uint64
	var failed atomic.Int64
	var mu sync.Mutex
	var group sync.WaitGroup
	kinds := map[string]int{}
	next.Store(*storyFrom)
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for int(failed.Load()) < *storyMost {
				seed := next.Add(1) - 1
				if seed >= *storyFrom+uint64(*stories) {
					return
				}
				lines := madeUp(seed)
				faults, seen := performed(lines, seed%16 == 0)
				mu.Lock()
				for kind, n := range seen {
					kinds[kind] += n
				}
				mu.Unlock()
				if len(faults) > 0 && int(failed.Add(1)) <= *storyMost {
					t.Errorf("seed %d:\n%s", seed, cutDown(lines, faults[0]))
				}
			}
		})
	}
	group.Wait()
	t.Logf("switches: %v", kinds)
	for _, kind := range []string{"failover", "switchover", "failback", "bootstrap", "refresh", "restore", "adopt"} {
		if kinds[kind] == 0 && *stories >= 200 {
			t.Errorf("no story ever came to a %s: they prove nothing of it", kind)
		}
	}
}

// TestFleetFails: of many resources, one fails each second, too few at once for
// a mass failure. The pace holds.
func TestFleetFails(t *testing.T) {
	var lines []string
	for i := range 50 {
		lines = append(lines, fmt.Sprintf("resource r%02d a b sustain=1s", i), fmt.Sprintf("+0s write app/r%02d/URL0 a", i))
	}
	for i := range 40 {
		lines = append(lines, fmt.Sprintf("+1300ms r%02d/a refused", i))
	}
	c := &critic{}
	w := newWorld(c, strings.Join(lines, "\n"))
	w.oracle = newOracle(w)
	defer func() {
		if _, broke := recover().(enough); broke {
			t.Error(c.faults)
		}
	}()
	w.playOn(append(lines, "+2s end"))
	if n := w.oracle.kinds["failover"]; n < policy.PaceLimit || n > policy.PaceLimit+2 {
		t.Errorf("%d failovers in the first minute; the pace is %d", n, policy.PaceLimit)
	}
	w.playOn([]string{"+2m end"})
	if n := w.oracle.kinds["failover"]; n != 40 {
		t.Errorf("%d of 40 were switched in the end", n)
	}
}

// critic collects what a story breaks.
type critic struct{ faults []string }

type enough struct{}

func (c *critic) Helper() {}

func (c *critic) Errorf(format string, args ...any) {
	c.faults = append(c.faults, fmt.Sprintf(format, args...))
	panic(enough{}) // the first is the one that counts
}

func (c *critic) Fatal(args ...any) { c.Errorf("%s", fmt.Sprint(args...)) }

func (c *critic) Fatalf(format string, args ...any) { c.Errorf(format, args...) }

// performed plays a story to its good end, perhaps twice, and says what it breaks.
func performed(lines []string, twice bool) (faults []string, kinds map[string]int) {
	faults, out, kinds := perform(lines)
	if twice {
		if _, again, _ := perform(lines); again != out {
			faults = append(faults, "invariant 17: the same events gave other effects")
		}
	}
	return faults, kinds
}

// perform plays a story to its good end, and says what it breaks, what was to be
// read meanwhile, and what it came to.
func perform(lines []string) (faults []string, out string, kinds map[string]int) {
	c := &critic{}
	var w *world
	defer func() {
		switch r := recover().(type) {
		case nil, enough:
		default:
			c.faults = append(c.faults, fmt.Sprintf("panic: %v", r))
		}
		faults = c.faults
		if w != nil {
			out = w.out.String()
			kinds = w.oracle.kinds
		}
	}()
	w = newWorld(c, strings.Join(lines, "\n"))
	w.oracle = newOracle(w)
	w.playOn(lines)
	w.conclude()
	return
}

// playOn plays lines of a story.
func (w *world) playOn(lines []string) {
	for _, line := range lines {
		words := strings.Fields(line)
		if words[0] == "resource" {
			continue
		}
		after, err := time.ParseDuration(strings.TrimPrefix(words[0], "+"))
		if err != nil {
			w.t.Fatal(err)
		}
		w.run(w.now.Add(after))
		w.happen(words[1:], line)
	}
}

// happen is do, and has the oracle know of what is not seen in events.
func (w *world) happen(words []string, line string) {
	was := w.cfg
	w.do(words, line)
	switch words[0] {
	case "restart", "kill":
		w.oracle.restarted()
	case "reload":
		w.oracle.reloaded(was)
		w.oracle.lost = w.now
	}
}

// cutDown leaves out of a story what it does not need to fail in the same way.
func cutDown(lines []string, fault string) string {
	same := func(try []string) (string, bool) {
		if !sensible(try) {
			return "", false
		}
		faults, out, _ := perform(try)
		if len(faults) > 0 && kindOf(faults[0]) == kindOf(fault) {
			return faults[0] + "\n" + out, true
		}
		return "", false
	}
	how, _ := same(lines)
	for again := true; again; {
		again = false
		for size := max(1, len(lines)/2); size >= 1; size /= 2 {
			for i := 0; i+size <= len(lines); {
				less := slices.Concat(lines[:i], lines[i+size:])
				if out, ok := same(less); ok {
					lines, how, again = less, out, true
					continue
				}
				i++
			}
		}
	}
	return strings.Join(lines, "\n") + "\n\n" + how
}

// sensible reports whether a story speaks of no resource that it does not have.
func sensible(lines []string) bool {
	have := map[string]bool{}
	for _, line := range lines {
		if words := strings.Fields(line); words[0] == "resource" {
			have[words[1]] = true
		}
	}
	for _, name := range regexp.MustCompile(`\br\d\b`).FindAllString(strings.Join(lines, "\n"), -1) {
		if !have[name] {
			return false
		}
	}
	return len(have) > 0
}

// kindOf is the part of a fault that names what is broken.
func kindOf(fault string) string {
	kind, _, _ := strings.Cut(fault, ":")
	return kind
}

// sortedKeys returns the keys of m in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
