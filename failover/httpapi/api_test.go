package httpapi_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/httpapi"
)

func get(h http.Handler, method, path, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	h.ServeHTTP(w, r)
	return w
}

func TestRoutes(t *testing.T) {
	f := &fake{answer: failover.Answer{Done: true, Text: "done"}}
	full := door(f)
	readOnly := full
	readOnly.Commander, readOnly.KV = nil, nil
	profiled := full
	profiled.Pprof = true
	command := `{"verb":"pause","resource":"mail","by":"ana@ops","reason":"disk"}`
	for _, c := range []struct {
		name               string
		api                httpapi.API
		method, path, body string
		code               int
		want               string
	}{
		{"page", full, "GET", "/", "", 200, "orders-db"},
		{"status", full, "GET", "/v1/status", "", 200, `"observer":"mon-a"`},
		{"one", full, "GET", "/v1/status?resource=mail", "", 200, `"name":"mail"`},
		{"none", full, "GET", "/v1/status?resource=nail", "", 404, `"hint"`},
		{"explain", full, "GET", "/v1/explain/mail", "", 200, `"if_attached_died_now"`},
		{"explain none", full, "GET", "/v1/explain/nail", "", 404, `nail`},
		{"history", full, "GET", "/v1/history", "", 200, `"epoch":7`},
		{"history of one without any", full, "GET", "/v1/history/cache", "", 200, "[]"},
		{"command", full, "POST", "/v1/command", command, 200, `"done":true`},
		{"command by GET", full, "GET", "/v1/command", "", 404, "nothing here"},
		{"command at the reading door", readOnly, "POST", "/v1/command", command, 403, "socket"},
		{"garbage", full, "POST", "/v1/command", "{", 400, "not a command"},
		{"unknown field", full, "POST", "/v1/command", `{"verv":"pause"}`, 400, "verv"},
		{"too long", full, "POST", "/v1/command", `{"verb":"` + strings.Repeat("x", 70<<10) + `"}`, 413, "65536"},
		{"metrics", full, "GET", "/metrics", "", 200, "# metrics"},
		{"kv", full, "GET", "/v1/kv/production/?recurse", "", 200, "[]"},
		{"no kv", readOnly, "GET", "/v1/kv/production/?recurse", "", 404, "nothing"},
		{"healthy", full, "GET", "/-/healthy", "", 200, "ok"},
		{"ready", full, "GET", "/-/ready", "", 200, "ok"},
		{"no profiles", full, "GET", "/debug/pprof/", "", 404, "nothing"},
		{"profiles", profiled, "GET", "/debug/pprof/goroutine", "", 200, ""},
		{"nothing", full, "GET", "/v2", "", 404, "nothing"},
		{"writing", full, "PUT", "/v1/status", "", 405, "PUT"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := get(c.api.Handler(), c.method, c.path, c.body)
			if w.Code != c.code || !strings.Contains(w.Body.String(), c.want) {
				t.Errorf("%d, want %d with %q:\n%s", w.Code, c.code, c.want, w.Body)
			}
			if strings.Contains(w.Body.String(), secret) {
				t.Errorf("a secret is shown:\n%s", w.Body)
			}
		})
	}
}

func TestCommandNeedsJSON(t *testing.T) {
	r := httptest.NewRequest("POST", "/v1/command", strings.NewReader(`{"verb":"pause"}`))
	r.Header.Set("Content-Type", "text/plain") // what a web page's form could send
	w := httptest.NewRecorder()
	f := &fake{}
	door(f).Handler().ServeHTTP(w, r)
	if w.Code != http.StatusUnsupportedMediaType || f.command.Verb != "" {
		t.Errorf("%d, and the daemon was told %q", w.Code, f.command.Verb)
	}
}

func TestAnswerCodes(t *testing.T) {
	for _, c := range []struct {
		answer failover.Answer
		code   int
	}{
		{failover.Answer{Text: "done", Done: true}, 200},
		{failover.Answer{Text: "held"}, 409},
		{failover.Answer{Text: "no such resource", Invalid: true}, 422},
		{failover.Answer{Text: "nobody knows", Unsure: true}, 504},
	} {
		if w := get(door(&fake{answer: c.answer}).Handler(), "POST", "/v1/command", `{"verb":"ack"}`); w.Code != c.code {
			t.Errorf("%s: %d, want %d", c.answer.Text, w.Code, c.code)
		}
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
	}{
		{errors.New("the daemon is ending"), 503},
		{context.DeadlineExceeded, 504},
	} {
		h := door(&fake{err: c.err, sick: c.err}).Handler()
		for _, path := range []string{"/", "/v1/status", "/v1/explain/mail", "/v1/history"} {
			if w := get(h, "GET", path, ""); w.Code != c.code || !strings.Contains(w.Body.String(), `"error"`) {
				t.Errorf("%s: %d, want %d: %s", path, w.Code, c.code, w.Body)
			}
		}
		for _, path := range []string{"/-/healthy", "/-/ready"} {
			if w := get(h, "GET", path, ""); w.Code != 503 || !strings.Contains(w.Body.String(), c.err.Error()) {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
		}
	}
}

func TestPage(t *testing.T) {
	w := get(door(&fake{}).Handler(), "GET", "/", "")
	page := w.Body.String()
	last := -1
	for _, want := range []string{ // in this order
		"▲ reattach", "<b>1</b> of 3 protected",
		`class="banner alarm"`, "notifier ops-chat (slack): 3 notices wait, the oldest for 12 min; last error: 503 Service Unavailable: &lt;b&gt;later",
		`class="alarm"`, "orders-db", "not protected", "failover held by candidate", "reattach clear orders-db standby", "db1.internal", "refused",
		`class="watch"`, "observe only", "535 5.7.8</b> Error", "&lt;b&gt;no&lt;/b&gt;", "drained by ana@ops",
		`class="calm"`, "sessions", "would go to cache-2",
		"Told lately", "somebody else wrote",
	} {
		i := strings.Index(page[max(last, 0):], want)
		if i < 0 {
			t.Fatalf("no %q after place %d of the page", want, last)
		}
		last = max(last, 0) + i
	}
	for _, never := range []string{secret, "<b>no</b>", "<b>later</b>", "notifier pager", "this is over", "this is told by the hold", "<script"} {
		if strings.Contains(page, never) {
			t.Errorf("the page holds %q", never)
		}
	}
	if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
		t.Errorf("Content-Security-Policy: %q", csp)
	}
}
