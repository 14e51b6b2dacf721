package httpapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/httpapi"
)

// diary is a journal in memory.
type diary struct {
	mu   sync.Mutex
	told []failover.Told
	more chan struct{} // closed, and made anew, with each notice
}

func newDiary(resources ...string) *diary {
	d := &diary{more: make(chan struct{})}
	for _, r := range resources {
		d.add(r)
	}
	return d
}

func (d *diary) add(resource string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	seq := uint64(len(d.told) + 1)
	d.told = append(d.told, failover.Told{Seq: seq, Notice: failover.Notice{Key: fmt.Sprint("k", seq), Event: "held", Resource: resource, Text: "held", At: noon},
		Deliveries: []failover.Delivery{{Notifier: "ops-chat", State: "sent", At: noon}}})
	close(d.more)
	d.more = make(chan struct{})
}

func (d *diary) Events(_ context.Context, after uint64, resource string, limit int) (out []failover.Told, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, t := range d.told {
		if t.Seq > after && (resource == "" || t.Resource == resource) {
			out = append(out, t)
		}
	}
	if after == 0 {
		return out[max(0, len(out)-limit):], nil
	}
	return out[:min(len(out), limit)], nil
}

func (d *diary) Wait(ctx context.Context, after uint64) error {
	for {
		d.mu.Lock()
		more, newest := d.more, uint64(len(d.told))
		d.mu.Unlock()
		if newest > after {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// destinations is one that takes a test notice, and one that does not.
type destinations struct{}

func (destinations) Test(_ context.Context, name string) error {
	switch name {
	case "ops-chat":
		return nil
	case "pager":
		return errors.New("403 Forbidden")
	}
	return fmt.Errorf("%w %q", httpapi.ErrNoNotifier, name)
}

func telling(d *diary) http.Handler {
	return httpapi.API{Reader: &fake{}, Health: &fake{}, Events: d, Tester: destinations{}, Log: slog.New(slog.DiscardHandler)}.Handler()
}

// seqs asks for events and returns their numbers.
func seqs(t *testing.T, h http.Handler, query string) []uint64 {
	t.Helper()
	w := get(h, "GET", "/v1/events"+query, "")
	told, err := httpapi.ParseEvents(w.Body.Bytes())
	if w.Code != 200 || err != nil || told == nil {
		t.Fatalf("%s: %d %v %s", query, w.Code, err, w.Body)
	}
	out := []uint64{}
	for _, one := range told {
		out = append(out, one.Seq)
	}
	return out
}

func TestEvents(t *testing.T) {
	h := telling(newDiary("mail", "orders", "mail", "orders"))
	for query, want := range map[string][]uint64{
		"": {1, 2, 3, 4}, "?limit=2": {3, 4}, "?after=1&limit=2": {2, 3}, "?resource=mail": {1, 3}, "?resource=mail&after=1": {3}, "?after=4": {}, "?resource=nothing": {},
		"?after=900": {1, 2, 3, 4}, // the file was begun anew: nothing is missed
	} {
		if diff := cmp.Diff(want, seqs(t, h, query)); diff != "" {
			t.Errorf("%s: -want +got\n%s", query, diff)
		}
	}
	if got := get(telling(newDiary()), "GET", "/v1/events", "").Body.String(); got != "[]\n" {
		t.Errorf("of nothing: %q, want an empty list", got)
	}
	for _, query := range []string{"?after=-1", "?after=x", "?limit=0", "?limit=1001", "?limit=x", "?wait=31s", "?wait=-1s", "?wait=30"} {
		if w := get(h, "GET", "/v1/events"+query, ""); w.Code != 400 || !strings.Contains(w.Body.String(), "is n") {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
	}
}

// Who waits is answered the moment that something is told which he asked for,
// and with nothing when the time is over.
func TestEventsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, began := newDiary("mail"), time.Now()
		got := make(chan []uint64)
		go func() { got <- seqs(t, telling(d), "?resource=orders&wait=30s") }()
		time.Sleep(3 * time.Second)
		d.add("mail")
		synctest.Wait()
		select {
		case s := <-got:
			t.Fatalf("answered with %v by what was not asked for", s)
		default:
		}
		time.Sleep(2 * time.Second)
		d.add("orders")
		if s := <-got; !cmp.Equal(s, []uint64{3}) || time.Since(began) != 5*time.Second {
			t.Errorf("%v after %v, want number 3 after 5 s", s, time.Since(began))
		}
		began = time.Now()
		if s := seqs(t, telling(d), "?after=3&wait=30s"); len(s) != 0 || time.Since(began) != 30*time.Second {
			t.Errorf("%v after %v, want nothing after 30 s", s, time.Since(began))
		}
	})
}

func TestEventsDoors(t *testing.T) {
	full := telling(newDiary("mail"))
	quiet := httpapi.API{Reader: &fake{}, Health: &fake{}, Log: slog.New(slog.DiscardHandler)}.Handler()
	for _, c := range []struct {
		h            http.Handler
		method, path string
		code         int
		want         string
	}{
		{full, "GET", "/", 200, `href="/v1/events"`},
		{full, "POST", "/v1/notify/ops-chat", 200, "took a test notice in"},
		{full, "POST", "/v1/notify/pager", 409, "pager did not take a test notice: 403 Forbidden"},
		{full, "POST", "/v1/notify/nobody", 422, `no such notifier \"nobody\"`},
		{full, "GET", "/v1/notify/ops-chat", 404, "nothing here"},
		{quiet, "POST", "/v1/notify/ops-chat", 403, "socket"},
		{quiet, "GET", "/v1/events", 404, "nothing here"},
	} {
		if w := get(c.h, c.method, c.path, ""); w.Code != c.code || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s %s: %d %s, want %d %s", c.method, c.path, w.Code, w.Body, c.code, c.want)
		}
	}
	if got := get(quiet, "GET", "/", "").Body.String(); strings.Contains(got, "/v1/events") {
		t.Error("the page leads to notices that nobody keeps")
	}
}

func TestClientEvents(t *testing.T) {
	d, ctx := newDiary("mail", "or/ders & co", "mail"), context.Background()
	client := httpapi.NewClient(serve(t, httpapi.API{Reader: &fake{}, Health: &fake{}, Events: d, Tester: destinations{}, Log: slog.New(slog.DiscardHandler)}))
	raw, err := client.Events(ctx, 1, "or/ders & co", 5, 0)
	if err != nil {
		t.Fatal(err)
	}
	var got []failover.Told
	if err := json.Unmarshal(raw, &got); err != nil || !cmp.Equal(got, d.told[1:2]) {
		t.Errorf("%v: %s", err, raw)
	}
	answer, err := client.Test(ctx, "ops-chat")
	if err != nil || !answer.Done {
		t.Errorf("%v: %+v", err, answer)
	}
	if answer, err = client.Test(ctx, "no/body"); err != nil || !answer.Invalid || !strings.Contains(answer.Text, `"no/body"`) {
		t.Errorf("%v: %+v", err, answer)
	}
}

func TestTroubles(t *testing.T) {
	s := failover.Status{AsOf: noon, Notifiers: []failover.NotifierStatus{
		{Name: "fine", Kind: "exec", Sent: 4, LastOK: noon},
		{Name: "busy", Kind: "slack", Pending: 2, Oldest: noon.Add(-time.Second)}, // on its way
		{Name: "lossy", Kind: "webhook", Dead: 2},
		{Name: "failing", Kind: "slack", Pending: 1, Oldest: noon.Add(-4 * time.Minute), Dead: 1, Error: "503 Service Unavailable"},
		{Name: "hangs", Kind: "email", Pending: 3, Oldest: noon.Add(-12 * time.Minute)},
	}}
	want := []httpapi.Trouble{
		{"hangs", httpapi.Alarm, "notifier hangs (email): 3 notices wait, the oldest for 12 min"},
		{"failing", httpapi.Alarm, "notifier failing (slack): 1 notice waits, the oldest for 4 min; 1 notice was given up; last error: 503 Service Unavailable"},
		{"lossy", httpapi.Watch, "notifier lossy (webhook): 2 notices were given up"},
	}
	if diff := cmp.Diff(want, httpapi.Troubles(s)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
