package crash

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// place is a boundary of a life: what comes next, or just came back, and the
// how-manieth of its kind. By its kind, and not by its number among all, it is
// found again in a run in which other things went faster.
type place struct {
	What string
	Nth  int
}

func (p place) String() string {
	if p.What == "" {
		return "nowhere"
	}
	return fmt.Sprintf("%s #%d", p.What, p.Nth)
}

// points counts the places that a life passes, writes them down, and ends the
// process at the one where it is to die.
type points struct {
	mu    sync.Mutex
	seen  map[string]int
	log   *os.File
	kill  place
	moved time.Time // when the last one was passed
}

func newPoints(log string, kill place) (*points, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	return &points{seen: map[string]int{}, log: f, kill: kill, moved: time.Now()}, err
}

// unseen are the places of somebody who is never killed.
func unseen() *points { return &points{} }

// pass passes a place; it does not return where the process is to die.
func (p *points) pass(what string) {
	if p.log == nil {
		return
	}
	p.mu.Lock() // and nothing else passes one meanwhile
	defer p.mu.Unlock()
	p.seen[what]++
	p.moved = time.Now()
	at := place{what, p.seen[what]}
	fmt.Fprintf(p.log, "%s\t%d\n", at.What, at.Nth)
	if at == p.kill {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // it is on its way
	}
}

// still is since when no place was passed.
func (p *points) still() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Since(p.moved)
}

// readPlaces reads what a life has passed.
func readPlaces(log string) (all []place) {
	b, _ := os.ReadFile(log)
	for line := range strings.Lines(string(b)) {
		what, nth, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		var p place
		if _, err := fmt.Sscan(nth, &p.Nth); ok && err == nil {
			p.What = what
			all = append(all, p)
		}
	}
	return all
}
