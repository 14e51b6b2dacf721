package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/notify"
	"github.com/reattach/reattach/test/daemon"
	"github.com/reattach/reattach/test/lab"
)

// destinations is the configuration of one notifier of each kind.
func destinations(t *testing.T, hook, slack, pager *receiver, am string, relay *lab.Server) string {
	t.Helper()
	return recorder(t, t.TempDir()) + fmt.Sprintf(`
notifier "webhook" "hook" {
  url    = %q
  secret = "hook-secret"
}
notifier "slack" "chat" { webhook_url = %q }
notifier "pagerduty" "pager" {
  routing_key = "pager-secret"
  url         = %q
}
notifier "alertmanager" "manager" { urls = [%q] }
notifier "email" "mail" {
  smtp = %q
  from = "reattach@lab.test"
  to   = ["orders@lab.test"]
}
`, hook.url, slack.url, pager.url, am, relay.URL(""))
}

func flagged(yes string) func(string) bool {
	return func(raw string) bool { return strings.Contains(raw, yes) }
}

// TestOneStoryEverywhere follows one failover of a real database through every
// destination, the journal, the history, the metrics and the rules of a real
// Prometheus: the same story, with the same times, and an end for what has one.
func TestOneStoryEverywhere(t *testing.T) {
	need(t)
	lab.NeedImage(t, "monitoring")
	pair, relay := databases(), relays().Active
	w := watch(t)
	hook, slack, pager := newReceiver(t, flagged(`"over":true`)), newReceiver(t, flagged("is protected again")), newReceiver(t, flagged(`"event_action":"resolve"`))
	name := unique("story")
	r := daemon.Resource{Name: name, Handle: name + "/URL", A: pair.Active.URL("app"), B: pair.Standby.URL("app"), Policy: daemon.Fast}
	put(t, r.Handle, r.A)
	config := w.reached(daemon.OnConsul(consul().URL(), consul().CreateToken(policyFor(t, r.Handle)), r)) + destinations(t, hook, slack, pager, w.alertmanager(), relay)
	d := daemon.New(t, config)
	record := recordOf(config)
	d.Start()
	d.Protected(name)
	one := fmt.Sprintf(`{resource=%q}`, name)
	daemon.Eventually(t, 20*time.Second, "Prometheus sees it protected", func() bool { return w.shows("reattach_protected"+one) == 1 })

	t.Cleanup(pair.Active.StartProcess)
	pair.Active.KillProcess()
	d.AttachedTo(name, "b", 15*time.Second)
	matter, at := theFailover(t, d, name)
	stamp := at.UTC().Format("15:04:05.000")
	t.Run("told", func(t *testing.T) {
		daemon.Eventually(t, 20*time.Second, "every destination has it", func() bool {
			return len(hook.about(false, matter)) == 1 && len(slack.about(false, name, "failover")) == 1 && len(pager.about(false, matter, "trigger")) == 1 &&
				len(w.alerts("Reattach", name)) == 1 && len(mails(t, relay, name, "failover")) == 1 && len(lines(t, record, "failover", matter)) == 1
		}, d.Logs, func() string { return events(t, d, name) })
		for destination, text := range map[string]string{
			"webhook": hook.about(false, matter)[0].raw, "slack": slack.about(false, name)[0].raw, "pagerduty": pager.about(false, matter)[0].raw,
			"mail": mails(t, relay, name)[0], "exec": lines(t, record, matter)[0], "alertmanager": fmt.Sprint(w.alerts("Reattach", name)[0].Annotations),
		} {
			for _, word := range []string{name, "refused", "runbook.md#failover", "reattach "} {
				if !strings.Contains(text, word) {
					t.Errorf("%s does not say %q:\n%s", destination, word, text)
				}
			}
			if destination != "alertmanager" && !strings.Contains(text, stamp) && !strings.Contains(text, at.UTC().Format("15:04:05")) {
				t.Errorf("%s does not have the time %s:\n%s", destination, stamp, text)
			}
			if strings.Contains(text, "app-secret") || strings.Contains(text, "hook-secret") {
				t.Errorf("%s holds a secret", destination)
			}
			t.Logf("%s:\n%s", destination, text)
		}
	})
	t.Run("recorded", func(t *testing.T) { sameTimes(t, w, name, matter, at) })

	pair.Active.StartProcess()
	daemon.Eventually(t, 20*time.Second, "a is up", func() bool { return d.Status(name).Endpoints[0].State.String() == "up" })
	if out, err := d.Command("clear", name, "a", "--reason", "caught up"); err != nil {
		t.Fatalf("clear: %v: %s", err, out)
	}
	daemon.Eventually(t, 40*time.Second, "every destination hears of the end", func() bool {
		return len(hook.about(true, matter)) == 1 && len(slack.about(true, name)) == 1 && len(pager.about(true, matter)) == 1 && len(w.alerts("Reattach", name)) == 0 &&
			len(mails(t, relay, name, "recovered")) >= 1 && len(lines(t, record, "recovered", matter)) == 1
	}, d.Logs, func() string { return events(t, d, name) })
	if n := len(d.Overview(name).Notices); n != 0 {
		t.Errorf("%d notices are still active", n)
	}
	daemon.Eventually(t, 20*time.Second, "the metrics say that it is over", func() bool {
		protected, _ := w.metric("reattach_protected" + one)
		failover, some := w.metric(fmt.Sprintf(`reattach_notices_active{event="failover", resource=%q}`, name))
		return protected == 1 && (!some || failover == 0)
	})
	foundAgain(t, hook, journal(t, d, name))
	t.Log(events(t, d, name))
}

// sameTimes holds history, metrics, rules and alerts to when the failover was told.
func sameTimes(t *testing.T, w *watchers, name, matter string, at time.Time) {
	t.Helper()
	got := records(t, name)
	last := got[len(got)-1]
	if last.To != "b" || last.At.Sub(at).Abs() > time.Second {
		t.Errorf("history has another time: %+v, told at %v", last, at)
	}
	one := fmt.Sprintf(`resource=%q`, name)
	if n := w.shows(`reattach_switches_total{kind="failover", ` + one + `} == 1`); n != 1 {
		t.Errorf("the metrics count %v failovers", n)
	}
	switched := w.shows(`reattach_last_switch_timestamp_seconds{` + one + `} > 0`)
	if d := at.Sub(time.UnixMilli(int64(switched * 1000))).Abs(); d > time.Second {
		t.Errorf("the metrics have another time: %v apart", d)
	}
	w.shows(`reattach_notices_active{event="failover", ` + one + `} == 1`)
	w.shows(`reattach_attached{endpoint="b", ` + one + `} == 1`)
	w.shows(`ALERTS{alertname="ReattachFailover", alertstate="firing", ` + one + `}`)
	daemon.Eventually(t, 20*time.Second, "Alertmanager has it from Prometheus, too", func() bool { return len(w.alerts("ReattachFailover", name)) == 1 })
	own, rule := w.alerts("Reattach", name)[0], w.alerts("ReattachFailover", name)[0]
	if own.Labels["matter"] != matter {
		t.Errorf("Alertmanager has the matter %q, want %q", own.Labels["matter"], matter)
	}
	// What Prometheus sees it sees up to a scrape and an evaluation later.
	if d := rule.StartsAt.Sub(at); d < 0 || d > 10*time.Second {
		t.Errorf("the rule fired %v after the failover was told", d)
	}
	if url := rule.Annotations["runbook_url"]; !strings.HasSuffix(url, "runbook.md#failover") {
		t.Errorf("the rule leads to %s", url)
	}
	t.Logf("told %v, history %v, metrics %.3f, Alertmanager %v, rule %v", at.UTC(), last.At.UTC(), switched, own.StartsAt.UTC(), rule.StartsAt.UTC())
}

// foundAgain looks for all that a destination was told in the journal: the same
// keys, with the same times.
func foundAgain(t *testing.T, hook *receiver, kept []failover.Told) {
	t.Helper()
	count := 0
	for _, over := range []bool{false, true} {
		for _, m := range hook.about(over) {
			var doc notify.Document
			if err := json.Unmarshal([]byte(m.raw), &doc); err != nil {
				t.Fatal(err)
			}
			for _, n := range doc.Notices {
				count++
				if !slices.ContainsFunc(kept, func(k failover.Told) bool { return k.Key == n.Key && k.At.Equal(n.At) && k.Text == n.Text }) {
					t.Errorf("what the webhook was told is not in the journal: %s at %v", n.Key, n.At)
				}
			}
		}
	}
	if count < 2 {
		t.Errorf("the webhook was told %d notices", count)
	}
}

// recordOf is the file that the notifier "exec" of a configuration writes.
func recordOf(config string) string {
	_, rest, _ := strings.Cut(config, `command = ["`)
	path, _, _ := strings.Cut(rest, `"`)
	return path + ".log"
}

// events is what the journal has of a resource, as people read it.
func events(t *testing.T, d *daemon.Daemon, resource string) string {
	t.Helper()
	out, err := d.Command("events", resource, "--limit", "50")
	if err != nil {
		t.Errorf("events: %v: %s", err, out)
	}
	return out
}

// journal is the same for programs, oldest first.
func journal(t *testing.T, d *daemon.Daemon, resource string) (all []failover.Told) {
	t.Helper()
	out, err := d.Command("events", resource, "--json", "--limit", "200")
	if err != nil {
		t.Fatalf("events: %v: %s", err, out)
	}
	for line := range strings.Lines(out) {
		var told failover.Told
		if err := json.Unmarshal([]byte(line), &told); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		all = append(all, told)
	}
	return all
}

// theFailover waits for the failover's notice in the journal.
func theFailover(t *testing.T, d *daemon.Daemon, resource string) (matter string, at time.Time) {
	t.Helper()
	daemon.Eventually(t, 10*time.Second, "the journal has the failover", func() bool {
		i := slices.IndexFunc(journal(t, d, resource), func(n failover.Told) bool { return n.Event == "failover" })
		if i >= 0 {
			n := journal(t, d, resource)[i]
			matter, at = n.Matter(), n.At
		}
		return i >= 0
	}, d.Logs)
	return matter, at
}

// TestKilledBeforeItTold: SIGKILL as soon as the handle has changed, again and
// again. After its next start each failover is told, and one that is told twice
// can be known by its matter or its key.
func TestKilledBeforeItTold(t *testing.T) {
	need(t)
	pair := caches()
	a, b := lab.NewProxy(t, pair.Active.Addr()), lab.NewProxy(t, pair.Standby.Addr())
	proxies := map[string]*lab.Proxy{"a": a, "b": b}
	hook := newReceiver(t, flagged(`"over":true`))
	name := unique("killed")
	r := daemon.Resource{Name: name, Handle: name + "/URL", A: "memcached://" + a.Addr(), B: "memcached://" + b.Addr(), Policy: daemon.Fast}
	d := daemon.New(t, daemon.OnConsul(consul().URL(), consul().CreateToken(policyFor(t, r.Handle)), r)+fmt.Sprintf("notifier \"webhook\" \"hook\" { url = %q }\n", hook.url))
	d.Start()
	attached := "a"
	for range 3 { // as many as damping lets happen within the hour
		daemon.Eventually(t, 20*time.Second, "protected", func() bool { return d.Status(name).Protected }, func() string { return d.Explain(name) })
		handle := changes(t, r.Handle)
		proxies[attached].Set(lab.Behaviour{Reset: true})
		proxies[attached].CutAll()
		daemon.Eventually(t, 15*time.Second, "the handle changes", func() bool { return handle() > 0 }, d.Logs)
		d.Signal(syscall.SIGKILL)
		d.Kill()
		proxies[attached].Set(lab.Behaviour{})
		d.Start()
		left := attached
		attached = map[string]string{"a": "b", "b": "a"}[attached]
		d.AttachedTo(name, attached, 15*time.Second)
		daemon.Eventually(t, 15*time.Second, "it is up", func() bool {
			return d.Status(name).Endpoints[map[string]int{"a": 0, "b": 1}[left]].State.String() == "up"
		})
		if out, err := d.Command("clear", name, left, "--reason", "it is a cache"); err != nil {
			t.Fatalf("clear: %v: %s", err, out)
		}
	}
	switches := 0
	for _, rec := range records(t, name) {
		if rec.Kind.String() != "failover" {
			continue
		}
		switches++
		key := fmt.Sprintf("%s/%d.failover", name, rec.Epoch)
		daemon.Eventually(t, 15*time.Second, key+" was told", func() bool { return len(hook.about(false, key)) > 0 }, d.Logs, func() string { return events(t, d, name) })
		if n := len(hook.about(false, key)); n > 2 {
			t.Errorf("%s was told %d times", key, n)
		}
	}
	if switches != 3 {
		t.Errorf("%d failovers in history", switches)
	}
}

// destinationsAt is one notifier of each kind, all of which lead to the same place.
func destinationsAt(t *testing.T, url, smtp, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "exec")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`
notifier "webhook" "hook" { url = %q }
notifier "slack" "chat" { webhook_url = %q }
notifier "pagerduty" "pager" {
  routing_key = "k"
  url         = %q
}
notifier "alertmanager" "manager" { urls = [%q] }
notifier "exec" "program" { command = [%q] }
notifier "email" "mail" {
  smtp = %q
  from = "reattach@lab.test"
  to   = ["orders@lab.test"]
}
`, url, url, url, url, path, smtp)
}

// mute accepts connections, and says nothing.
func mute(t *testing.T) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
		}
	}()
	return l.Addr().String()
}

// TestDeafDestinations: while every destination is gone, and while every one accepts
// and never answers, a failover takes as long as without any. What could not be told
// waits, and status shows for whom.
func TestDeafDestinations(t *testing.T) {
	need(t)
	pair := caches()
	took := map[string]time.Duration{}
	for _, c := range []struct{ label, notifiers string }{
		{"none", ""},
		{"gone", destinationsAt(t, "http://127.0.0.1:1/", "smtp://127.0.0.1:1", "exit 1")},
		{"deaf", destinationsAt(t, silent(t), "smtp://"+mute(t), "exec sleep 600")},
	} {
		proxy := lab.NewProxy(t, pair.Active.Addr())
		name := unique("deaf")
		r := daemon.Resource{Name: name, Handle: name + "/URL", A: "memcached://" + proxy.Addr(), B: pair.Standby.URL(""), Policy: daemon.Fast}
		d := daemon.New(t, daemon.OnConsul(consul().URL(), consul().CreateToken(policyFor(t, r.Handle)), r)+c.notifiers)
		d.Start()
		d.Protected(name)
		proxy.Set(lab.Behaviour{Reset: true})
		proxy.CutAll()
		d.AttachedTo(name, "b", 15*time.Second)
		got := records(t, name)
		took[c.label] = time.Duration(got[len(got)-1].Times.Total * float64(time.Second))
		if c.notifiers != "" {
			daemon.Eventually(t, 20*time.Second, "status shows who cannot be told", func() bool {
				pending := 0
				for _, n := range d.Overview("").Notifiers {
					if n.Pending > 0 {
						pending++
					}
				}
				return pending == 6
			}, d.Logs)
		}
		d.Kill()
	}
	t.Logf("from the first bad observation to the commit: %v without destinations, %v while all six are gone, %v while all six are deaf", took["none"], took["gone"], took["deaf"])
	for label, d := range took {
		if d > took["none"]+time.Second {
			t.Errorf("destinations that are %s delay a failover: %v instead of %v", label, d, took["none"])
		}
	}
}
