package crash

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reattach/reattach/test/lab"
)

// Without flags a part is run, which a seed chooses, for as long as -budget says.
var (
	all     = flag.Bool("all", false, "kill at every place of every story, and not at a sample")
	only    = flag.String("story", "", "this story only")
	stores  = flag.String("stores", "embedded,consul,fleet", "which stores; fleet is Consul with two more observers, who live on")
	seed    = flag.Uint64("seed", 0, "of the sample; 0: another one each time")
	budget  = flag.Duration("budget", 25*time.Second, "for how long runs are begun, without -all")
	workers = flag.Int("workers", 16, "runs at a time: they mostly wait")
	twice   = flag.Int("twice", 5, "runs for each story and store that are killed twice, with -all")
	repeats = 2 // of a place that a run did not come to
)

// job is one run to be made.
type job struct {
	story, store string
	kills        []place
}

func (j job) String() string {
	text := j.store + " " + j.story
	for _, k := range j.kills {
		text += ", killed at " + k.String()
	}
	return text
}

// campaign is all runs of one test.
type campaign struct {
	*testing.T
	receiver *receiver
	consul   string
	rnd      *rand.Rand
	until    time.Time // when the last run is begun; zero: all are

	mu       sync.Mutex
	runs     int
	killed   map[string]int // by story and store: places at which a life ended
	second   int            // of them, second lives
	known    map[string]map[place]bool
	kinds    map[string]map[string]bool // of places, by story and store
	fresh    []job                      // found on the way
	lives    []job                      // with a place of a second life each
	unmet    map[string]bool
	leftOut  int
	violated int
}

// TestCrashpoints kills an observer at every boundary of its effects.
func TestCrashpoints(t *testing.T) {
	began := time.Now()
	if *seed == 0 {
		*seed = uint64(began.UnixNano())
	}
	c := &campaign{T: t, receiver: newReceiver(), rnd: rand.New(rand.NewPCG(*seed, 0)), killed: map[string]int{},
		known: map[string]map[place]bool{}, kinds: map[string]map[string]bool{}, unmet: map[string]bool{}}
	defer c.receiver.Close()
	names := strings.Split(*stores, ",")
	if os.Getenv("REATTACH_FAST") != "" && os.Getenv("REATTACH_REQUIRE_LAB") == "" {
		names, *budget = []string{"embedded"}, min(*budget, 10*time.Second)
	}
	if !slices.Equal(names, []string{"embedded"}) {
		lab.NeedConsul(t)
		// All runs come from one address, and so do three daemons in each: no real one has so many.
		c.consul = lab.NewConsul(t, lab.ConsulOptions{Config: "limits { http_max_conns_per_client = 4000 }"}).URL()
	}
	first := c.begin(names)
	if !*all {
		c.until = began.Add(*budget)
		first = c.shuffled(first)
		first = first[:(len(first)+2)/3]
	}
	c.play(first)
	for round := 0; round < 4 && len(c.fresh) > 0; round++ {
		c.play(c.shuffled(c.fresh))
	}
	if *all {
		c.play(c.doubles(names))
	}
	c.summarize(time.Since(began))
}

// begin is each story once, without a kill: it says what there is to be killed at.
func (c *campaign) begin(names []string) (jobs []job) {
	for _, store := range names {
		for _, name := range slices.Sorted(maps.Keys(stories)) {
			if *only == "" || *only == name {
				jobs = append(jobs, job{story: name, store: store})
			}
		}
	}
	return jobs
}

func (c *campaign) shuffled(jobs []job) []job {
	slices.SortFunc(jobs, func(a, b job) int { return strings.Compare(a.String(), b.String()) })
	c.rnd.Shuffle(len(jobs), func(i, j int) { jobs[i], jobs[j] = jobs[j], jobs[i] })
	c.fresh = nil
	return jobs
}

// doubles are runs that are killed in two lives: at each kind of place that only a
// second life has, and at some that chance chooses.
func (c *campaign) doubles(names []string) (jobs []job) {
	chosen := map[string]int{}
	new := map[string]bool{}
	for _, j := range c.shuffled(c.lives) {
		key := j.store + " " + j.story
		what := j.kills[1].What
		switch {
		case !c.kinds[key][what] && !new[key+what]:
			new[key+what] = true
		case chosen[key] < *twice:
			chosen[key]++
		default:
			continue
		}
		jobs = append(jobs, j)
	}
	return jobs
}

// play makes runs, some at a time.
func (c *campaign) play(jobs []job) {
	queue := make(chan job)
	var group sync.WaitGroup
	for range *workers {
		group.Go(func() {
			for j := range queue {
				c.make(j)
			}
		})
	}
	for _, j := range jobs {
		if len(j.kills) > 0 && !c.until.IsZero() && time.Now().After(c.until) {
			c.leftOut++
			continue
		}
		queue <- j
	}
	close(queue)
	group.Wait()
}

func (c *campaign) make(j job) {
	ctx, cancel := context.WithTimeout(c.Context(), 5*time.Minute)
	defer cancel()
	r := run{life: life{Story: j.story, Observer: "mon-a", Observers: []string{"mon-a"}}, kills: j.kills, receiver: c.receiver}
	if j.store != "embedded" {
		r.Consul = c.consul
	}
	if j.store == "fleet" {
		r.Observers = []string{"mon-a", "mon-b", "mon-c"}
	}
	out, err := r.do(ctx)
	for range repeats {
		if err != nil || len(out.violations) > 0 || out.killed >= len(j.kills) {
			break
		}
		out, err = r.do(ctx)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.note(j, out, err)
}

// note takes in what became of a run.
func (c *campaign) note(j job, out outcome, err error) {
	c.runs++
	if err != nil {
		c.Errorf("%s: %v", j, err)
		return
	}
	if len(out.violations) > 0 {
		c.violated++
		c.Errorf("%s:\n\t%s", j, strings.Join(out.violations, "\n\t"))
	}
	key := j.store + " " + j.story
	if out.killed < len(j.kills) {
		c.unmet[j.String()] = true
	} else if out.killed > 0 {
		c.killed[key]++
		c.second += out.killed - 1
	}
	c.learn(key, j, out)
}

// learn takes up the places that are not known yet.
func (c *campaign) learn(key string, j job, out outcome) {
	if c.known[key] == nil {
		c.known[key], c.kinds[key] = map[place]bool{}, map[string]bool{}
	}
	for _, p := range out.places[0] {
		if !c.known[key][p] {
			c.known[key][p], c.kinds[key][p.What] = true, true
			c.fresh = append(c.fresh, job{j.story, j.store, []place{p}})
		}
	}
	if len(j.kills) == 1 && len(out.places) == 2 {
		for _, p := range out.places[1] {
			c.lives = append(c.lives, job{j.story, j.store, []place{j.kills[0], p}})
		}
	}
}

func (c *campaign) summarize(took time.Duration) {
	total := 0
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(c.known)) {
		parts = append(parts, fmt.Sprintf("%s %d", key, c.killed[key]))
		total += c.killed[key]
	}
	for text := range c.unmet {
		c.Logf("not met: %s", text)
	}
	c.Logf("killed at: %s", strings.Join(parts, ", "))
	summary = fmt.Sprintf("crashpoints: %d stories, %d runs killed, %d of them twice, %d places not met again, %d left out, %d violations, seed %d, %.0f s",
		len(c.known), total, c.second, len(c.unmet), c.leftOut, c.violated, *seed, took.Seconds())
	c.Log(summary)
}
