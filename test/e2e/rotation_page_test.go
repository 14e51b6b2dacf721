package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/test/daemon"
	"github.com/reattach/reattach/test/lab"
)

// walk does what a section of the page on rotating says, step by step.
type walk struct {
	t       *testing.T
	d       *daemon.Daemon
	dir     string        // of the secrets' files
	servers []*lab.Server // that are told
	flavour string        // of SQL: "MariaDB" or "MySQL"
	names   *strings.Replacer
	secrets map[string]string // NEW and OLD
	steps   []string
}

var (
	stepBegins = regexp.MustCompile(`(?m)^\*\*\d\. `)
	block      = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$")
)

// on reads a section of the page.
func (w *walk) on(title string) {
	w.t.Helper()
	text, err := os.ReadFile("../../deployments/docs/rotation.md")
	if err != nil {
		w.t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "\n## "+title+"\n")
	if !found {
		w.t.Fatalf("the page has no section %q", title)
	}
	section, _, _ := strings.Cut(rest, "\n## ")
	w.steps = stepBegins.Split(section, -1)[1:]
}

// step does all that the page says of a step, from 1, and returns what was printed.
func (w *walk) step(n int) string {
	w.t.Helper()
	if n > len(w.steps) {
		w.t.Fatalf("the page has %d steps", len(w.steps))
	}
	var out strings.Builder
	for _, m := range block.FindAllStringSubmatch(w.steps[n-1], -1) {
		switch text := m[2]; m[1] {
		case "sql":
			w.sql(text)
		case "sh":
			out.WriteString(w.shell(text))
		case "console":
			for line := range strings.Lines(text) {
				out.WriteString(w.reattach(strings.TrimPrefix(strings.TrimSpace(line), "$ reattach ")))
			}
		default:
			w.t.Fatalf("step %d has a block of %s", n, m[1])
		}
	}
	return out.String()
}

// sql runs a statement on each server, unless it is for another kind.
func (w *walk) sql(text string) {
	w.t.Helper()
	if of, rest, named := strings.Cut(text, "\n"); named && strings.HasPrefix(of, "-- ") {
		if of != "-- "+w.flavour {
			return
		}
		text = rest
	}
	for name, value := range w.secrets {
		text = strings.ReplaceAll(text, "'"+name+"'", "'"+value+"'")
	}
	for _, s := range w.servers {
		s.SQL(strings.TrimSuffix(strings.TrimSpace(w.names.Replace(text)), ";"))
	}
}

// shell runs lines here, or, if they are RabbitMQ's, on each server.
func (w *walk) shell(text string) string {
	w.t.Helper()
	text = w.names.Replace(text)
	if strings.Contains(text, "rabbitmqctl") {
		return brokers(w.servers, "env", "NEW="+w.secrets["NEW"], "sh", "-ec", text)
	}
	// The group is the package's; what a test writes is read by whoever runs it.
	text = strings.NewReplacer("/run/secrets/", w.dir+"/", " -g reattach", "").Replace(text)
	cmd := exec.CommandContext(w.t.Context(), "sh", "-ec", text)
	cmd.Env = append(os.Environ(), "NEW="+w.secrets["NEW"])
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Fatalf("%v\n%s%s", err, text, out)
	}
	return string(out)
}

// brokers runs a command beside each RabbitMQ, and returns all that was printed.
func brokers(servers []*lab.Server, command ...string) string {
	out := make([]string, len(servers))
	var group sync.WaitGroup
	for i, s := range servers {
		group.Go(func() {
			out[i] = s.Rabbit(command...)
		})
	}
	group.Wait()
	return strings.Join(out, "\n")
}

// reattach runs a command of the page's as a shell does.
func (w *walk) reattach(line string) string {
	w.t.Helper()
	line = strings.ReplaceAll(w.names.Replace(line), "/etc/reattach", filepath.Join(w.d.Dir, "reattach.hcl"))
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-ec", daemon.Binary()+" "+line)
	cmd.Env = append(os.Environ(), "REATTACH_SOCKET="+filepath.Join(w.d.Dir, "sock"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Fatalf("reattach %s: %v\n%s", line, err, out)
	}
	return string(out)
}

// write puts a secret into its file as a person does before there is a rotation.
func (w *walk) write(name, value string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(value+"\n"), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// condition waits until the resource's handles are in it.
func (w *walk) condition(resource, want string) {
	w.t.Helper()
	daemon.Eventually(w.t, 30*time.Second, "the handles are "+want, func() bool { return w.d.Status(resource).Condition == want },
		func() string { return w.d.Explain(resource) }, w.d.Logs)
}

// quiet fails the test if anything else was told than these.
func quiet(t *testing.T, d *daemon.Daemon, expected ...string) {
	t.Helper()
	out, err := d.Command("events", "--json", "--limit", "500")
	if err != nil {
		t.Fatalf("events: %v: %s", err, out)
	}
	for line := range strings.Lines(out) {
		var told failover.Told
		if err := json.Unmarshal([]byte(line), &told); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if !slices.Contains(expected, told.Event) {
			t.Errorf("told: %s", line)
		}
	}
}

// logged counts the lines of a server's log that hold all these words.
func logged(s *lab.Server, words ...string) (n int) {
	for line := range strings.Lines(s.Logs()) {
		if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) }) {
			n++
		}
	}
	return n
}

// counter sums a metric of the daemon's over all labels that hold these words.
func counter(t *testing.T, door, name string, labels ...string) (sum int) {
	t.Helper()
	for line := range strings.Lines(get(t, "http://"+door+"/metrics")) {
		if !strings.HasPrefix(line, name+"{") || slices.ContainsFunc(labels, func(l string) bool { return !strings.Contains(line, l) }) {
			continue
		}
		var n float64
		if _, err := fmt.Sscan(line[strings.LastIndexByte(line, ' ')+1:], &n); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		sum += int(n)
	}
	return sum
}

// get is what a URL answers with 200.
func get(t *testing.T, url string) string {
	t.Helper()
	text, err := fetch(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func fetch(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, response.Status)
	}
	return string(body), err
}
