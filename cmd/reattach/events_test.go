package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
)

// journal is a daemon that only keeps notices: it goes away and comes back as
// the story wants it.
type journal struct {
	mu    sync.Mutex
	told  []failover.Told
	asked int
	story map[int]func(j *journal, w http.ResponseWriter) bool // by question; true: answered
}

func (j *journal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.asked++
	if act := j.story[j.asked]; act != nil && act(j, w) {
		return
	}
	after, _ := strconv.ParseUint(r.FormValue("after"), 10, 64)
	limit, _ := strconv.Atoi(r.FormValue("limit"))
	out := []failover.Told{}
	for _, t := range j.told {
		if t.Seq > after && (r.FormValue("resource") == "" || t.Resource == r.FormValue("resource")) {
			out = append(out, t)
		}
	}
	_ = json.NewEncoder(w).Encode(out[max(0, len(out)-limit):])
}

func shown(t *testing.T, out *bytes.Buffer) (numbers []uint64) {
	t.Helper()
	for line := range strings.Lines(out.String()) {
		var one failover.Told
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		numbers = append(numbers, one.Seq)
	}
	return numbers
}

// Following outlives the daemon: what was told meanwhile is shown, and nothing
// is shown twice. Ctrl-C ends it well.
func TestFollowOutlivesTheDaemon(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	all := tellings()
	gone := func(_ *journal, w http.ResponseWriter) bool {
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	}
	cut := func(_ *journal, w http.ResponseWriter) bool { panic(http.ErrAbortHandler) }
	j := &journal{told: all[:1], story: map[int]func(*journal, http.ResponseWriter) bool{
		2: gone, 3: cut,
		4: func(j *journal, _ http.ResponseWriter) bool { j.told = all[:4]; return false }, // two of them are on their way …
		5: func(j *journal, _ http.ResponseWriter) bool { // … and have arrived a second later
			j.told = slices.Clone(all)
			for _, i := range []int{1, 2} {
				j.told[i].Deliveries = []failover.Delivery{{Notifier: "mail", State: "sent", At: noon}}
			}
			return false
		},
		7: func(*journal, http.ResponseWriter) bool { cancel(); return false }, // the sixth brings nothing new
	}}
	d, out, errs := answering(t, j.ServeHTTP)
	code := execute(ctx, d.process, []string{"events", "--follow", "--json"})
	if got := shown(t, out); code != 0 || !slices.Equal(got, []uint64{40, 41, 42, 43, 44}) {
		t.Errorf("exit code %d, shown were %v\n%s", code, got, errs)
	}
	if !strings.Contains(out.String(), `{"notifier":"mail","state":"sent","at":"2026-03-01T12:00:00Z"}`) {
		t.Errorf("it was shown before it had reached anybody:\n%s", out)
	}
	if want := "reattach: the daemon does not answer; waiting for it\nreattach: the daemon answers again\n"; errs.String() != want {
		t.Errorf("said %q, want %q", errs, want)
	}
}

func TestEventsAreChosen(t *testing.T) {
	recent := tellings()
	for i := range recent {
		recent[i].At = time.Now().Add(-time.Hour * time.Duration(len(recent)-i))
	}
	for _, c := range []struct {
		args []string
		want []uint64
	}{
		{nil, []uint64{40, 41, 42, 43, 44}},
		{[]string{"mail"}, []uint64{43}},
		{[]string{"--limit", "2"}, []uint64{43, 44}},
		{[]string{"--since", "150m"}, []uint64{43, 44}},
		{[]string{"--since", "150m", "--limit", "1"}, []uint64{44}},
	} {
		j := &journal{told: recent}
		d, out, errs := answering(t, j.ServeHTTP)
		if code := execute(context.Background(), d.process, append([]string{"events", "--json"}, c.args...)); code != 0 {
			t.Fatalf("%v: exit code %d: %s", c.args, code, errs)
		}
		if got := shown(t, out); !slices.Equal(got, c.want) {
			t.Errorf("%v: %v, want %v", c.args, got, c.want)
		}
	}
}

func TestEventsExitCodes(t *testing.T) {
	for _, c := range []struct {
		args   []string
		body   string
		status int
		code   int
		said   string
	}{
		{nil, "[]", 200, 0, "nothing was told"},
		{[]string{"--json"}, "[]", 200, 0, ""},
		{[]string{"--limit", "0"}, "[]", 200, exitWrong, "--limit is between 1 and 1000"},
		{[]string{"--since", "-1h"}, "[]", 200, exitWrong, "--since is not positive"},
		{[]string{"--since", "0s"}, "[]", 200, exitWrong, "--since is not positive"},
		{[]string{"--since", "24"}, "[]", 200, exitWrong, "\"24\" is no duration"},
		{nil, `{"error":"there is nothing here"}`, 404, exitWrong, "nothing here"},
		{[]string{"--follow"}, `{"error":"there is nothing here"}`, 404, exitWrong, "nothing here"},
		{[]string{"--follow"}, `{"error":"ending"}`, 503, exitUnreachable, "ending"}, // nobody was there yet: a wrong socket, perhaps
		{nil, `{}`, 200, exitNo, "not a list of notices"},
		{nil, `[1]`, 200, exitNo, "not a notice"},
	} {
		d, out, errs := answering(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(c.body))
		})
		if code := execute(context.Background(), d.process, append([]string{"events"}, c.args...)); code != c.code || !strings.Contains(out.String()+errs.String(), c.said) {
			t.Errorf("%v, answered %s: exit code %d, want %d: %s%s", c.args, c.body, code, c.code, out, errs)
		}
	}
}
