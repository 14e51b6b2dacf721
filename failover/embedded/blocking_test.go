package embedded_test

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/embedded"
	"github.com/reattach/reattach/test/lab"
)

// waiting runs a blocking query in the background.
func waiting(t *testing.T, url string) <-chan string {
	t.Helper()
	answered := make(chan string, 1)
	go func() {
		response, body := ask(t, http.MethodGet, url)
		answered <- strconv.Itoa(response.StatusCode) + " " + response.Header.Get("X-Consul-Index") + " " + body
	}()
	return answered
}

func wait(t *testing.T, answered <-chan string) string {
	t.Helper()
	select {
	case answer := <-answered:
		return answer
	case <-time.After(20 * time.Second):
		t.Fatal("no answer")
		return ""
	}
}

func index(e failover.Entry) string { return strconv.FormatUint(e.ModifyIndex, 10) }

func TestBlocking(t *testing.T) {
	store := open(t)
	fill(t, store)
	url := serve(t, handler(store, embedded.Options{})).URL + "/v1/kv/"
	last := read(t, store, "staging/B")

	answered := waiting(t, url+"staging/B?raw&wait=60000ms&index="+index(last))
	put(t, store, "production/MAIL_URL", "other")
	put(t, store, "reattach/state/x", "other")
	last = put(t, store, "staging/B", "changed")
	if got, want := wait(t, answered), "200 "+index(last)+" changed"; got != want {
		t.Errorf("changed: %s, want %s", got, want)
	}

	answered = waiting(t, url+"staging/B?raw&index="+index(last))
	remove(t, store, "staging/B")
	got := wait(t, answered)
	if gone := strings.Fields(got); gone[0] != "404" || gone[1] <= index(last) {
		t.Errorf("deleted: %s, was at %s", got, index(last))
	}

	answered = waiting(t, url+"absent/C?raw&index="+strings.Fields(got)[1])
	put(t, store, "production/MAIL_URL", "again")
	created := put(t, store, "absent/C", "c")
	if got, want := wait(t, answered), "200 "+index(created)+" c"; got != want {
		t.Errorf("created: %s, want %s", got, want)
	}

	answered = waiting(t, url+"production/?keys&index="+index(created))
	put(t, store, "absent/C", "d")
	put(t, store, "production/OTHER", "hidden")
	remove(t, store, "production/app/A")
	if got := wait(t, answered); !strings.HasSuffix(got, `["production/DATABASE_URL","production/MAIL_URL"]`) {
		t.Errorf("deleted below a prefix: %s", got)
	}
}

// TestWaitEnds: a query that nothing wakes is answered unchanged when its time is
// over, although other keys changed, hidden ones among them.
func TestWaitEnds(t *testing.T) {
	store := open(t)
	fill(t, store)
	server := serve(t, handler(store, embedded.Options{}))
	last := read(t, store, "staging/B")
	for _, request := range []string{"staging/B?", "absent/C?", "reattach/state/orders?", "staging/?recurse&", "none/?recurse&"} {
		_, body := ask(t, http.MethodGet, server.URL+"/v1/kv/"+request)
		from := index(last)
		if read(t, store, "noise").Exists() {
			from = index(read(t, store, "noise"))
		}
		started := time.Now()
		answered := waiting(t, server.URL+"/v1/kv/"+request+"wait=150ms&index="+from)
		put(t, store, "noise", request)
		if got := wait(t, answered); !strings.HasSuffix(got, " "+body) {
			t.Errorf("%s: %s, was %s", request, got, body)
		}
		if took := time.Since(started); took < 150*time.Millisecond {
			t.Errorf("%s: answered after %v", request, took)
		}
	}
}

// TestIndexAhead: a reader whose index is from another file is answered at once,
// with the index that is now.
func TestIndexAhead(t *testing.T) {
	store := open(t)
	fill(t, store)
	last := read(t, store, "staging/B")
	response, body := ask(t, http.MethodGet, serve(t, handler(store, embedded.Options{})).URL+"/v1/kv/staging/B?raw&index="+strconv.FormatUint(last.ModifyIndex+1000, 10))
	if response.StatusCode != http.StatusOK || body != "b" || response.Header.Get("X-Consul-Index") != index(last) {
		t.Errorf("%d %s at %s", response.StatusCode, body, response.Header.Get("X-Consul-Index"))
	}
}

func TestWaitEndsWithStore(t *testing.T) {
	path := t.TempDir() + "/store.db"
	store, err := embedded.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, store)
	server := serve(t, handler(store, embedded.Options{}))
	answered := waiting(t, server.URL+"/v1/kv/staging/B?index="+index(read(t, store, "staging/B")))
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if got := wait(t, answered); !strings.HasPrefix(got, "503") {
		t.Errorf("answer %s", got)
	}
}

// TestWaitEndsWithContext: a server that ends while readers wait tells them no
// value, not an empty one.
func TestWaitEndsWithContext(t *testing.T) {
	store := open(t)
	fill(t, store)
	ctx, cancel := context.WithCancel(t.Context())
	answers := handler(store, embedded.Options{})
	asked := make(chan struct{})
	server := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(asked)
		answers.ServeHTTP(w, r.WithContext(ctx))
	}))
	answered := waiting(t, server.URL+"/v1/kv/staging/B?raw&index="+index(read(t, store, "staging/B")))
	<-asked
	cancel()
	if got := wait(t, answered); !strings.HasPrefix(got, "503") {
		t.Errorf("answer %s", got)
	}
}

// TestTemplate has the real consul-template render from the handler, and counts
// what it asks: one request for each change that concerns it, and none at rest.
func TestTemplate(t *testing.T) {
	lab.NeedConsul(t)
	store := open(t)
	fill(t, store)
	var asked atomic.Int64
	answers := handler(store, embedded.Options{Token: func() string { return "s3cret" }})
	server := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		answers.ServeHTTP(w, r)
	}))
	template := lab.NewTemplate(t, lab.TemplateOptions{
		Address: server.URL, Token: "s3cret",
		Template: `{{ key "production/DATABASE_URL" }} {{ range ls "production" }}{{ .Key }},{{ end }} {{ keyOrDefault "absent/C" "none" }}`,
	})
	template.WaitFor("mysql://app:pw@db1:3306/orders DATABASE_URL,MAIL_URL, none", 20*time.Second)
	const changes = 20
	before := asked.Load()
	took := make([]time.Duration, changes)
	for i := range took {
		value := "mysql://db" + strconv.Itoa(i) + "/orders"
		started := time.Now()
		put(t, store, "production/DATABASE_URL", value)
		took[i] = template.WaitFor(value+" DATABASE_URL", 20*time.Second).Sub(started)
	}
	put(t, store, "absent/C", "there")
	template.WaitFor(" there", 20*time.Second)
	slices.Sort(took)
	t.Logf("from the write to the file: median %v, maximum %v; %d requests", took[changes/2], took[changes-1], asked.Load()-before)
	// each change wakes the key and the list; each wake-up asks once more
	if most := int64(2*changes + 3*3); asked.Load()-before > most {
		t.Errorf("%d requests for %d changes, at most %d were due", asked.Load()-before, changes+1, most)
	}
}
