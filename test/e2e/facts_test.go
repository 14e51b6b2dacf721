package e2e

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/test/daemon"
	"github.com/reattach/reattach/test/lab"
)

// TestFactsByDepth: what a conversation of each depth learns of real servers is
// what check --facts says. By this check warns of requirements that none can meet.
func TestFactsByDepth(t *testing.T) {
	lab.Need(t)
	for protocol, url := range map[string]string{
		"mysql":     strings.TrimSuffix(databases().Active.URL("probe"), "/orders"),
		"amqp":      queues().Active.URL("app"),
		"smtp":      relays().Active.URL(""),
		"memcached": caches().Active.URL(""),
	} {
		facts := listed(t, protocol)
		all := learnt(t, url, "")
		if len(all) < 3 {
			t.Errorf("%s: only %v is learnt", protocol, all)
		}
		for _, depth := range []probe.Phase{probe.PhaseConnect, probe.PhaseGreet, probe.PhaseAuth, probe.PhasePing, probe.PhaseRole} {
			got := learnt(t, url, depth.String())
			for name, least := range facts {
				if has := slices.Contains(got, name); slices.Contains(all, name) && has != (least <= depth) {
					t.Errorf("%s is learnt at the depth %s: %v; check --facts says from %s on", protocol+"'s "+name, depth, has, least)
				}
			}
		}
	}
}

// listed are the facts of a protocol, and from which depth on each is learnt.
func listed(t *testing.T, protocol string) map[string]probe.Phase {
	t.Helper()
	out, err := exec.Command(daemon.Binary(), "check", "--facts", protocol, "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var list []struct {
		Facts []struct {
			Name  string
			Depth probe.Phase
		}
	}
	if err := json.Unmarshal(out, &list); err != nil || len(list) != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	facts := map[string]probe.Phase{}
	for _, f := range list[0].Facts {
		facts[f.Name] = f.Depth
	}
	return facts
}

// learnt are the facts that one conversation of a depth learns.
func learnt(t *testing.T, url, depth string) []string {
	t.Helper()
	out, err := exec.Command(daemon.Binary(), "probe", url, "--depth", depth, "--json").Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var result struct{ Facts map[string]any }
	if err := json.Unmarshal(out, &result); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var names []string
	for name := range result.Facts {
		names = append(names, name)
	}
	return names
}
