package install

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/reattach/reattach/test/lab"
)

// TestUnitLimits: the daemon serves, switches and ends under the unit's own filter of
// system calls, with an error instead of what is filtered. (The unit's other limits:
// no right is left and the file system is read-only, here as everywhere in containers.)
func TestUnitLimits(t *testing.T) {
	lab.NeedImage(t, "packaging")
	network := lab.New(t)
	profile := seccomp(t, allowed(t, network.Packaging(), text(t, "deployments/systemd/reattach.service")))
	a, b := network.Memcached(), network.Memcached()
	c := contain(t, network, image()(t, "debian"), caches(a, b, ""), "--security-opt", "seccomp="+profile)
	c.says("1 of 1 resource protected", "status")
	a.KillProcess()
	c.says("failover", "history", "sessions")
	// Programs that it starts are under the same filter, and some are turned away.
	contains(t, "a shell", c.docker("exec", "sh", "-c", "echo works; nice -n 5 true"), "works", "not permitted")
	command(t, nil, "docker", "stop", "-t", "10", c.name)
	contains(t, "the log", c.docker("logs"), "ended in order")
}

// allowed is the list of system calls that the unit leaves, by systemd's own sets.
func allowed(t *testing.T, box *lab.Server, unit string) []string {
	t.Helper()
	sets := map[string][]string{}
	name := ""
	for line := range strings.Lines(shell(t, box, "systemd-analyze syscall-filter --no-pager")) {
		word := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "@"):
			name = word
		case word != "" && !strings.HasPrefix(word, "#"):
			sets[name] = append(sets[name], word)
		}
	}
	var calls func(word string) []string
	calls = func(word string) (out []string) {
		if !strings.HasPrefix(word, "@") {
			return []string{word}
		}
		for _, member := range sets[word] {
			out = append(out, calls(member)...)
		}
		return out
	}
	out := calls("@default") // systemd allows these with every list
	for line := range strings.Lines(unit) {
		list, ok := strings.CutPrefix(strings.TrimSpace(line), "SystemCallFilter=")
		if !ok {
			continue
		}
		list, refused := strings.CutPrefix(list, "~")
		for _, word := range strings.Fields(list) {
			set := calls(word)
			if len(set) == 0 {
				t.Fatalf("systemd knows no set %s", word)
			}
			if refused {
				out = slices.DeleteFunc(out, func(call string) bool { return slices.Contains(set, call) })
			} else {
				out = append(out, set...)
			}
		}
	}
	if len(out) < 100 {
		t.Fatalf("only %d system calls are left: %q", len(out), out)
	}
	return out
}

// seccomp writes a profile for the container engine.
func seccomp(t *testing.T, calls []string) string {
	t.Helper()
	type rule struct {
		Names  []string `json:"names"`
		Action string   `json:"action"`
	}
	profile, err := json.Marshal(struct {
		DefaultAction string `json:"defaultAction"`
		Syscalls      []rule `json:"syscalls"`
	}{"SCMP_ACT_ERRNO", []rule{{calls, "SCMP_ACT_ALLOW"}}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "seccomp.json")
	if err := os.WriteFile(path, profile, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
