package notify

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/probe"
)

// What a child is told besides its file.
const (
	urlEnv   = "REATTACH_TEST_URL"   // the webhook that it hands notices to
	firstEnv = "REATTACH_TEST_FIRST" // the number of its first notice
	limitEnv = "REATTACH_TEST_LIMIT" // bytes that its files may have, for a while
)

// child keeps notices and says the number of each once it is kept.
func child(path string) error {
	if limit := os.Getenv(limitEnv); limit != "" {
		return crowded(path, limit)
	}
	w, err := NewWebhook(WebhookOptions{URL: probe.Secret(os.Getenv(urlEnv))})
	if err != nil {
		return err
	}
	o, err := Open(path, Options{})
	if err != nil {
		return err
	}
	o.Configure(to(dest("hook", w)))
	go func() { _ = o.Run(context.Background()) }()
	n, err := strconv.Atoi(os.Getenv(firstEnv))
	for ; err == nil; n++ {
		if err = o.Keep(numbered(n)); err == nil {
			fmt.Println(n)
		}
		pause(context.Background(), nil, time.Duration(rand.IntN(8))*time.Millisecond)
	}
	return err
}

// numbered is the n-th beginning, and often the end of one that is a little older.
func numbered(n int) []failover.Notice {
	outage := func(n int) string { return fmt.Sprintf("r%d/%d", n%100, n) }
	begin := failover.Notice{Key: outage(n) + ".held", Event: "held", Resource: fmt.Sprintf("r%d", n%100), Outage: outage(n), Lasts: true, At: time.Now(), Text: "held"}
	if n%3 == 0 || n < 10 {
		return []failover.Notice{begin}
	}
	old := n - 7
	end := failover.Notice{Key: outage(old) + ".recovered", Event: "recovered", Resource: fmt.Sprintf("r%d", old%100), Outage: outage(old), Over: true, At: time.Now(), Text: "recovered"}
	return []failover.Notice{begin, end}
}

// receiver is a webhook of somebody's own. It remembers by what names it was told.
type receiver struct {
	mu      sync.Mutex
	matters map[string][]string // key → matters by which it was told
	posts   int
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	var doc Document
	if err := json.NewDecoder(req.Body).Decode(&doc); err != nil {
		return // killed while it wrote
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.posts++
	if r.posts%5 == 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	for _, n := range doc.Notices {
		if !slices.Contains(r.matters[n.Key], doc.Matter) {
			r.matters[n.Key] = append(r.matters[n.Key], doc.Matter)
		}
	}
}

func start(t *testing.T, path string, env ...string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), childEnv+"="+path), env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(out)
}

// TestKill kills a process that keeps and tells, at any moment, again and again.
// Nothing that was kept is lost, numbers never come twice, and what is told twice
// is told under the same name.
func TestKill(t *testing.T) {
	path, r := file(t), &receiver{matters: map[string][]string{}}
	server := httptest.NewServer(r)
	defer server.Close()
	said := []int{}
	next := 0
	for range 15 {
		cmd, out := start(t, path, urlEnv+"="+server.URL, firstEnv+"="+strconv.Itoa(next))
		kill := time.AfterFunc(time.Duration(rand.Int64N(int64(700*time.Millisecond))), func() { _ = cmd.Process.Kill() })
		for out.Scan() {
			n, err := strconv.Atoi(out.Text())
			if err != nil {
				t.Fatal(out.Text())
			}
			said, next = append(said, n), n
		}
		next += 2 // the one that it may have kept without saying so is not to come again
		kill.Stop()
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() > 0 {
			t.Fatal(err)
		}
	}
	w, err := NewWebhook(WebhookOptions{URL: probe.Secret(server.URL)})
	if err != nil {
		t.Fatal(err)
	}
	o, stop := running(t, path, to(dest("hook", w)))
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for o.Notifiers()[0].Pending > 0 {
		<-tick.C
	}
	told, err := o.Events(1, "", 100000)
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i < len(told); i++ {
		if told[i].Seq <= told[i-1].Seq {
			t.Errorf("number %d after %d", told[i].Seq, told[i-1].Seq)
		}
	}
	stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	storms := 0
	for _, n := range said {
		for _, notice := range numbered(n) {
			names := r.matters[notice.Key]
			if begun := r.matters[notice.Outage+".held"]; notice.Over && len(begun) == 0 {
				continue // its beginning was never kept: a kill came between
			}
			waits := notice.Over && slices.ContainsFunc(told, func(t failover.Told) bool {
				return t.Key == notice.Key && len(t.Deliveries) == 1 && t.Deliveries[0].State == waiting
			})
			if len(names) != 1 && !waits || notice.Over && !waits && names[0] != r.matters[notice.Outage+".held"][0] {
				t.Errorf("%s was told as %v, its matter as %v", notice.Key, names, r.matters[notice.Outage+".held"])
			}
			if len(names) > 0 && names[0] != notice.Outage {
				storms++
			}
		}
	}
	t.Logf("%d kept, %d messages, %d notices told in storms", len(said), r.posts, storms)
	if len(said) < 20 || storms == 0 {
		t.Error("the children kept too little to show anything")
	}
}

// crowded keeps notices until the disk takes no more, and some more; then it makes
// room, keeps one more, and is gone.
func crowded(path, limit string) error {
	bytes, err := strconv.ParseUint(limit, 10, 64)
	if err != nil {
		return err
	}
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		return err
	}
	o, err := Open(path, Options{})
	if err != nil {
		return err
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: bytes, Max: old.Max}); err != nil {
		return err
	}
	in := &inbox{}
	o.Configure(to(dest("ops", in)))
	go func() { _ = o.Run(context.Background()) }()
	failed := 0
	for n := 1; failed < 20; n++ {
		if err := o.Keep(numbered(n)); err != nil {
			failed++
			if !errors.Is(err, ErrUnwritten) {
				return err
			}
		}
		fmt.Println(n)
	}
	if events, err := o.Events(0, "", 1); err != nil || len(events) == 0 {
		return fmt.Errorf("what is in memory is not shown: %v, %v", events, err)
	}
	for o.Notifiers()[0].Pending > 0 { // they are handed on all the same
		pause(context.Background(), nil, 5*time.Millisecond)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		return err
	}
	if err := o.Keep(numbered(100000)); err != nil {
		return err
	}
	fmt.Println(100000)
	return syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

// TestFull: what a full disk does not take is handed on, and written when there
// is room again.
func TestFull(t *testing.T) {
	for _, limit := range []string{"140000", "300000"} {
		path := file(t)
		cmd, out := start(t, path, limitEnv+"="+limit)
		var want []string
		for out.Scan() {
			n, err := strconv.Atoi(out.Text())
			if err != nil {
				t.Fatal(out.Text())
			}
			for _, notice := range numbered(n) {
				want = append(want, notice.Key)
			}
		}
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() > 0 {
			t.Fatal(err)
		}
		o := box(t, path)
		told, err := o.Events(0, "", 100000)
		if err := errors.Join(err, o.Close()); err != nil {
			t.Fatal(err)
		}
		var got []string
		for i, n := range told {
			got = append(got, n.Key)
			if n.Seq != uint64(i+1) {
				t.Errorf("number %d is %d", i+1, n.Seq)
			}
		}
		diff(t, "kept with room for "+limit, want, got)
		t.Logf("%d notices", len(got))
	}
}
