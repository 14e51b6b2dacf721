package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/reattach/reattach/failover"
)

// Events hands out what people were told.
type Events interface {
	// Events returns notices about a resource ("": any) with a number greater
	// than after, oldest first, at most limit; with after 0, the newest ones.
	Events(ctx context.Context, after uint64, resource string, limit int) ([]failover.Told, error)
	// Wait returns nil once there is a notice with a number greater than after.
	Wait(ctx context.Context, after uint64) error
}

// Tester sends a test notice to one destination.
type Tester interface {
	// Test returns once the destination has taken the notice. The error wraps
	// [ErrNoNotifier] if there is none of that name; any other is what the
	// destination answered, without secrets.
	Test(ctx context.Context, notifier string) error
}

// ErrNoNotifier means that no notifier of that name is configured.
var ErrNoNotifier = errors.New("no such notifier")

// Bounds of a question for notices.
const (
	EventsWait  = 30 * time.Second // the longest that it waits for one
	EventsLimit = 1000             // the most that it is answered with
	eventsUsual = 100              // where nobody says how many
	testTime    = time.Minute      // for a destination to take a test notice
)

// eventsQuery is what is asked for.
type eventsQuery struct {
	after    uint64
	resource string
	limit    int
	wait     time.Duration
}

func parseEvents(r *http.Request) (q eventsQuery, err error) {
	q.resource, q.limit = r.FormValue("resource"), eventsUsual
	if s := r.FormValue("after"); s != "" {
		if q.after, err = strconv.ParseUint(s, 10, 64); err != nil {
			return q, fmt.Errorf("after=%q is no notice's number", s)
		}
	}
	if s := r.FormValue("limit"); s != "" {
		if q.limit, err = strconv.Atoi(s); err != nil || q.limit < 1 || q.limit > EventsLimit {
			return q, fmt.Errorf("limit=%q is not between 1 and %d", s, EventsLimit)
		}
	}
	if s := r.FormValue("wait"); s != "" {
		if q.wait, err = time.ParseDuration(s); err != nil || q.wait < 0 || q.wait > EventsWait {
			return q, fmt.Errorf("wait=%q is not between 0s and %v", s, EventsWait)
		}
	}
	return q, nil
}

func (a API) events(w http.ResponseWriter, r *http.Request) {
	q, err := parseEvents(r)
	if err != nil {
		a.refuse(w, http.StatusBadRequest, err.Error(), "")
		return
	}
	told, err := a.told(r.Context(), q)
	switch {
	case errors.Is(err, failover.ErrNoJournal):
		a.refuse(w, http.StatusNotFound, "this daemon keeps no notices", "")
	case err != nil:
		a.fail(w, err)
	default:
		a.write(w, http.StatusOK, told)
	}
}

// told returns what is asked for, once there is any of it or the time is over.
func (a API) told(ctx context.Context, q eventsQuery) ([]failover.Told, error) {
	waiting, cancel := context.WithTimeout(ctx, q.wait)
	defer cancel()
	for {
		// What is newest is asked for first: what comes after it ends the wait.
		newest, err := a.newest(ctx)
		if err != nil {
			return nil, err
		}
		if newest < q.after { // another file, begun anew: the old numbers say nothing
			q.after = 0
		}
		told, err := a.Events.Events(ctx, q.after, q.resource, q.limit)
		if err != nil || len(told) > 0 || q.wait == 0 {
			return orNone(told), err
		}
		if a.Events.Wait(waiting, newest) != nil {
			return orNone(nil), nil // the time is over, or who asked has gone
		}
	}
}

// newest is the number of the newest notice; 0 if there is none.
func (a API) newest(ctx context.Context) (uint64, error) {
	last, err := a.Events.Events(ctx, 0, "", 1)
	if err != nil || len(last) == 0 {
		return 0, err
	}
	return last[len(last)-1].Seq, nil
}

// orNone makes an empty list of none: an answer is always a list.
func orNone(told []failover.Told) []failover.Told {
	if told == nil {
		return []failover.Told{}
	}
	return told
}

func (a API) test(w http.ResponseWriter, r *http.Request) {
	name, began := r.PathValue("name"), time.Now()
	err := a.Tester.Test(r.Context(), name)
	answer := failover.Answer{Done: err == nil, Invalid: errors.Is(err, ErrNoNotifier)}
	switch {
	case err == nil:
		answer.Text = fmt.Sprintf("%s took a test notice in %s.", name, Millis(time.Since(began)))
	case answer.Invalid:
		answer.Text, answer.Hint = err.Error(), "`reattach notify list` lists them"
	default:
		answer.Text = fmt.Sprintf("%s did not take a test notice: %v", name, err)
	}
	a.write(w, statusOf(answer), answer)
}
