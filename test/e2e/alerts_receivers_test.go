package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reattach/reattach/test/lab"
)

// told is a message as a destination had it, in what all have in common.
type told struct {
	at   time.Time
	raw  string
	over bool
}

// receiver is a destination in the test's own hands: a program of the user's, or
// a closed service's published interface.
type receiver struct {
	mu   sync.Mutex
	got  []told
	url  string
	over func(raw string) bool
}

func newReceiver(t *testing.T, over func(string) bool) *receiver {
	r := &receiver{over: over}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		r.take(string(body))
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"status":"success","message":"Event processed","dedup_key":"x"}`)
	}))
	t.Cleanup(s.Close)
	r.url = s.URL
	return r
}

func (r *receiver) take(raw string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, told{time.Now(), raw, r.over(raw)})
}

// about returns what was received that holds all of those words, oldest first.
func (r *receiver) about(over bool, words ...string) (out []told) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.got {
		if m.over == over && holdsAll(m.raw, words) {
			out = append(out, m)
		}
	}
	return out
}

func holdsAll(text string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}

// silent is a destination that accepts and never answers.
func silent(t *testing.T) (url string) {
	end := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		select {
		case <-end:
		case <-q.Context().Done():
		}
	}))
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(end) })
	return s.URL
}

// mails are those in the lab's mailbox that hold all of those words.
func mails(t *testing.T, relay *lab.Server, words ...string) (out []string) {
	t.Helper()
	for _, m := range strings.Split("\n"+relay.MustExec("sh", "-c", "cat /var/mail/orders 2>/dev/null || true"), "\nFrom ") {
		if m = unfold(m); strings.TrimSpace(m) != "" && holdsAll(m, words) {
			out = append(out, m)
		}
	}
	return out
}

// unfold undoes quoted-printable's soft line ends and folded headers.
func unfold(mail string) string {
	return strings.NewReplacer("=\n", "", "=3D", "=", "\n ", " ").Replace(mail)
}

// lines are those of a file that a notifier "exec" writes.
func lines(t *testing.T, path string, words ...string) (out []string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if holdsAll(line, words) {
			out = append(out, line)
		}
	}
	return out
}

// recorder is a notifier "exec" that writes one line for each message to DIR.
func recorder(t *testing.T, d string) string {
	t.Helper()
	path := filepath.Join(d, "record")
	script := "#!/bin/sh\nexec >> " + path + ".log\nprintf '%s %s ' \"$REATTACH_EVENT\" \"$REATTACH_OVER\"\ntr -d '\\n'\necho\n"
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("notifier \"exec\" \"recorder\" {\n  command = [%q]\n}\n", path)
}
