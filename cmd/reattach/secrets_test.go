package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/reattach/reattach/configs"
	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/probe/memcached"
)

// TestSecretsLook: what a file says is taken once it has said it for a while, and
// what was refused is not tried again at each look.
func TestSecretsLook(t *testing.T) {
	dir := t.TempDir()
	secret, config := filepath.Join(dir, "secret"), filepath.Join(dir, "c.hcl")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(secret, "one")
	write(config, "store \"consul\" {\n  token = file(\"secret\")\n}\n")
	conf, diags := configs.Load([]string{config}, configs.OS([]probe.Protocol{memcached.Protocol}))
	if conf == nil {
		t.Fatal(diags)
	}
	var w secrets
	now := time.Now()
	look := func(after time.Duration, want glance) {
		t.Helper()
		now = now.Add(after)
		if got := w.look(now, conf.Files, conf.Files.Read()); got != want {
			t.Errorf("the look comes to %d, want %d", got, want)
		}
	}
	look(0, same)
	write(secret, "two")
	look(time.Hour, unsettled)
	look(secretsSettle/2, unsettled)
	write(secret, "two and more")
	look(secretsSettle/2, unsettled)
	look(secretsSettle-1, unsettled)
	look(1, settled)
	w.refused, w.retry = conf.Files.Read(), now.Add(secretsRetry)
	look(0, refusal)
	look(secretsRetry-1, refusal)
	look(1, settled)
	w.retry = now.Add(secretsRetry)
	write(secret, "three")
	look(secretsSettle, unsettled)
	look(secretsSettle, settled)
	write(secret, "one")
	look(0, same)
}

// TestRejected: whoever rejects our credentials has us look at the files.
func TestRejected(t *testing.T) {
	hint := make(chan struct{}, 1)
	tap := rejected{hint}
	denied := fmt.Errorf("wrapped: %w", failover.ErrDenied)
	for i, c := range []struct {
		event failover.Event
		want  bool
	}{
		{failover.Observed{Result: probe.Result{Class: probe.Auth}}, true},
		{failover.Observed{Result: probe.Result{Class: probe.Refused}}, false},
		{failover.Answered{Err: denied}, true},
		{failover.Answered{Err: failover.ErrUnknown}, false},
		{failover.Answered{}, false},
		{failover.Changed{Err: denied}, true},
		{failover.Changed{}, false},
		{failover.Tick{}, false},
	} {
		tap.Saw(time.Now(), c.event, nil)
		tap.Saw(time.Now(), c.event, nil) // never blocks
		select {
		case <-hint:
			if !c.want {
				t.Errorf("case %d gives a hint", i)
			}
		default:
			if c.want {
				t.Errorf("case %d gives no hint", i)
			}
		}
	}
}
