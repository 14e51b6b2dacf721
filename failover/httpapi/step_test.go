package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/httpapi"
)

// rehearser has the steps of one resource; abort waits until nobody asks any more.
type rehearser struct{ began, gone chan struct{} }

func (r rehearser) Rehearse(ctx context.Context, resource, step, to string) (failover.Rehearsal, error) {
	switch {
	case resource != "orders-db":
		return failover.Rehearsal{}, fmt.Errorf("%w: %q", failover.ErrNoResource, resource)
	case step == "after":
		return failover.Rehearsal{}, fmt.Errorf("%w: orders-db has no step %q", failover.ErrNoStep, step)
	case step == "fence":
		return failover.Rehearsal{}, fmt.Errorf("%w: step fence runs", failover.ErrUnderWay)
	case step == "abort":
		close(r.began)
		<-ctx.Done()
		close(r.gone)
	}
	return failover.Rehearsal{Resource: resource, Step: step, Env: map[string]string{"REATTACH_TO": to}, OK: true}, nil
}

func TestStepRoutes(t *testing.T) {
	api := door(&fake{})
	readOnly := api.Handler()
	api.Rehearser = rehearser{}
	full := api.Handler()
	for _, c := range []struct {
		path string
		code int
		want string
	}{
		{"/v1/step/orders-db/promote", 200, `"REATTACH_TO":""`},
		{"/v1/step/orders-db/promote?to=b%26c", 200, `"REATTACH_TO":"b&c"`},
		{"/v1/step/orders-db/after", 422, `has no step \"after\"`},
		{"/v1/step/orders-db/fence", 409, "a switch is under way: step fence runs"},
		{"/v1/step/mail/promote", 404, "no such resource"},
		{"/v1/step/orders-db", 405, "POST"},
	} {
		w := get(full, "POST", c.path, "")
		if w.Code != c.code || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s: %d %s; want %d with %q", c.path, w.Code, w.Body, c.code, c.want)
		}
	}
	if w := get(readOnly, "POST", "/v1/step/orders-db/promote", ""); w.Code != 403 || !strings.Contains(w.Body.String(), "socket") {
		t.Errorf("the reading door: %d %s", w.Code, w.Body)
	}
	if w := get(full, "GET", "/v1/step/orders-db/promote", ""); w.Code != 404 {
		t.Errorf("a question runs a step: %d %s", w.Code, w.Body)
	}
}

// TestRehearseBySocket: names are escaped, refusals keep their code, and a step is
// ended when who asked for it gives up.
func TestRehearseBySocket(t *testing.T) {
	r := rehearser{make(chan struct{}), make(chan struct{})}
	client := httpapi.NewClient(serve(t, httpapi.API{Reader: &fake{}, Health: &fake{}, Rehearser: r, Log: slog.New(slog.DiscardHandler)}))
	got, err := client.Rehearse(t.Context(), "orders-db", "promote", "b&c")
	if err != nil || !got.OK || got.Step != "promote" || got.Env["REATTACH_TO"] != "b&c" {
		t.Errorf("%+v, %v", got, err)
	}
	var refusal *httpapi.Refusal
	if _, err := client.Rehearse(t.Context(), "orders-db", "fence", ""); !errors.As(err, &refusal) || refusal.Code != 409 || refusal.Hint == "" {
		t.Errorf("%v", err)
	}
	if _, err := client.Rehearse(t.Context(), "a/b", "promote", ""); !errors.As(err, &refusal) || refusal.Code != 404 || !strings.Contains(refusal.Text, "a/b") {
		t.Errorf("%v", err)
	}
	ctx, giveUp := context.WithCancel(t.Context())
	go func() {
		<-r.began
		giveUp()
	}()
	if _, err := client.Rehearse(ctx, "orders-db", "abort", ""); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	<-r.gone
}
