package embedded_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/consul/api"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/embedded"
	"github.com/reattach/reattach/test/lab"
)

const hidden = "hidden-from-readers" // the value of all keys that are no handles

var handles = []string{"production/DATABASE_URL", "production/MAIL_URL", "production/app/A", "staging/B", "absent/C", "empty"}

// fill writes some handles and, among them, what readers must not see.
func fill(t testing.TB, store failover.Store) {
	t.Helper()
	var ops []failover.Op
	for key, value := range map[string]string{
		"production/DATABASE_URL": "mysql://app:pw@db1:3306/orders", "production/MAIL_URL": "smtp://m1\n",
		"production/app/A": "<ä>&\x00\xff", "staging/B": "b", "empty": "",
		"reattach/state/orders": hidden, "production/OTHER": hidden, "production/app/": hidden,
	} {
		ops = append(ops, failover.Op{Verb: failover.Set, Key: key, Value: []byte(value), Flags: uint64(len(value))})
	}
	if reply, err := store.Txn(t.Context(), ops); err != nil || !reply.OK {
		t.Fatalf("%+v, %v", reply, err)
	}
}

// handler answers from store for the handles, where options name no others.
func handler(store *embedded.Store, options embedded.Options) http.Handler {
	if options.Keys == nil {
		options.Keys = func() []string { return handles }
	}
	return embedded.Handler(store, options)
}

// serve serves handler, as a daemon would, until the test ends.
func serve(t testing.TB, handler http.Handler) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/", handler)
	server := httptest.NewUnstartedServer(mux)
	ctx, cancel := context.WithCancel(context.Background())
	server.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	server.Start()
	t.Cleanup(func() {
		cancel() // or waiting readers would hold up the close
		server.Close()
	})
	return server
}

// ask sends one request.
func ask(t testing.TB, method, url string, header ...string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

// requests are answered by a Consul that has the handles and nothing else, and by
// the handler, alike.
var requests = []string{
	"production/DATABASE_URL", "production/DATABASE_URL?raw", "production/MAIL_URL?raw", "production/app/A", "production/app/A?raw",
	"empty", "empty?raw", "absent/C", "absent/C?raw", "nothing", "production", "production/", "production/DATABASE_URL/",
	"production//DATABASE_URL", "production/./DATABASE_URL", "production%2FDATABASE_URL", "./staging/B", "staging/x/../B",
	"production/?recurse", "production?recurse", "prod?recurse=true", "?recurse", "none/?recurse", "production/?recurse&raw", "production/DATABASE_URL?recurse",
	"production/?keys", "?keys", "production/?keys&separator=/", "?keys&separator=/", "?keys&separator=o", "?keys&separator=", "prod?keys&separator=tion/", "none/?keys", "?keys&recurse",
	"", "?raw",
	"staging/B?stale", "staging/B?consistent", "staging/B?stale&consistent", "staging/B?stale=&wait=60000ms", "staging/B?dc=dc1", "staging/B?dc=",
	"staging/B?index=0&wait=5m", "staging/B?index=1&wait=1s", "staging/B?index=-1", "staging/B?index=x", "staging/B?index=99999999999999999999999", "staging/B?wait=x", "staging/B?index=1&wait=-1s",
	"production/?recurse&index=1&wait=60000ms", "?keys&index=1",
}

// TestAsConsul holds the answers against those of a real Consul.
func TestAsConsul(t *testing.T) {
	lab.NeedConsul(t)
	consul := lab.NewConsul(t, lab.ConsulOptions{})
	store := open(t)
	fill(t, store)
	for _, key := range handles {
		if e := read(t, store, key); e.Exists() {
			if _, err := consul.Client("").KV().Put(&api.KVPair{Key: key, Value: e.Value, Flags: e.Flags}, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	server := serve(t, handler(store, embedded.Options{}))
	for _, request := range requests {
		t.Run(request, func(t *testing.T) {
			want, wantBody := ask(t, http.MethodGet, consul.URL()+"/v1/kv/"+request)
			got, gotBody := ask(t, http.MethodGet, server.URL+"/v1/kv/"+request)
			if got.StatusCode != want.StatusCode {
				t.Fatalf("Consul answers %d %s, we %d %s", want.StatusCode, wantBody, got.StatusCode, gotBody)
			}
			if want.StatusCode >= 300 && want.StatusCode != http.StatusNotFound {
				return // the text is ours
			}
			if diff := cmp.Diff(withoutIndexes(t, wantBody), withoutIndexes(t, gotBody)); diff != "" {
				t.Errorf("body (-Consul +we):\n%s", diff)
			}
			for _, name := range []string{"X-Consul-Lastcontact", "X-Consul-Knownleader"} {
				if got.Header.Get(name) != want.Header.Get(name) {
					t.Errorf("%s: Consul says %q, we %q", name, want.Header.Get(name), got.Header.Get(name))
				}
			}
			if index, err := strconv.ParseUint(got.Header.Get("X-Consul-Index"), 10, 64); err != nil || index == 0 {
				t.Errorf("X-Consul-Index is %q", got.Header.Get("X-Consul-Index"))
			}
		})
	}
}

// withoutIndexes is what a body says, but for its indexes.
func withoutIndexes(t *testing.T, body string) any {
	t.Helper()
	var pairs []map[string]any
	if err := json.Unmarshal([]byte(body), &pairs); err != nil {
		return body // raw, or a list of keys
	}
	for _, pair := range pairs {
		for _, name := range []string{"CreateIndex", "ModifyIndex"} {
			if index, ok := pair[name].(float64); !ok || index == 0 {
				t.Errorf("%s is %v", name, pair[name])
			}
			delete(pair, name)
		}
	}
	return pairs
}

func TestReadAsClient(t *testing.T) {
	store := open(t)
	fill(t, store)
	client, err := api.NewClient(&api.Config{Address: serve(t, handler(store, embedded.Options{})).URL})
	if err != nil {
		t.Fatal(err)
	}
	e := read(t, store, "production/DATABASE_URL")
	pair, meta, err := client.KV().Get(e.Key, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := &api.KVPair{Key: e.Key, Value: e.Value, Flags: e.Flags, CreateIndex: e.CreateIndex, ModifyIndex: e.ModifyIndex}
	if diff := cmp.Diff(want, pair); diff != "" {
		t.Errorf("pair (-want +got):\n%s", diff)
	}
	if meta.LastIndex != e.ModifyIndex || !meta.KnownLeader || meta.LastContact != 0 {
		t.Errorf("meta %+v", meta)
	}
	if missing, meta, err := client.KV().Get("absent/C", nil); missing != nil || err != nil || meta.LastIndex != e.ModifyIndex {
		t.Errorf("missing: %v, %+v, %v", missing, meta, err)
	}
	if _, err := client.KV().Put(&api.KVPair{Key: e.Key}, nil); err == nil {
		t.Error("a write was taken")
	}
}

// TestHidden: whatever is asked, only handles are shown.
func TestHidden(t *testing.T) {
	store := open(t)
	fill(t, store)
	server := serve(t, handler(store, embedded.Options{}))
	for _, request := range append(requests, "reattach/state/orders", "reattach/?recurse", "reattach?keys", "production/OTHER?raw", "production/app/", "production/app/?recurse") {
		if strings.Contains(request, "index=1&") || strings.HasSuffix(request, "index=1") {
			continue
		}
		_, body := ask(t, http.MethodGet, server.URL+"/v1/kv/"+request)
		var pairs []struct{ Value []byte }
		_ = json.Unmarshal([]byte(body), &pairs)
		for _, pair := range pairs {
			body += string(pair.Value)
		}
		if strings.Contains(body, hidden) || strings.Contains(body, "reattach/") || strings.Contains(body, "OTHER") {
			t.Errorf("%s shows %s", request, body)
		}
	}
}

func TestRefused(t *testing.T) {
	store := open(t)
	fill(t, store)
	server := serve(t, handler(store, embedded.Options{Datacenter: "home"}))
	tests := []struct {
		method, path string
		status       int
	}{
		{http.MethodPut, "/v1/kv/staging/B", http.StatusMethodNotAllowed},
		{http.MethodDelete, "/v1/kv/staging/B", http.StatusMethodNotAllowed},
		{http.MethodPost, "/v1/kv/staging/B", http.StatusMethodNotAllowed},
		{http.MethodPut, "/v1/kv/staging/B?acquire=x", http.StatusMethodNotAllowed},
		{http.MethodGet, "/v1/kv/staging/B?dc=other", http.StatusMethodNotAllowed},
		{http.MethodGet, "/v1/kv/staging/B?dc=dc1", http.StatusMethodNotAllowed},
		{http.MethodGet, "/v1/kv/staging/B?dc=home", http.StatusOK},
		{http.MethodPut, "/v1/txn", http.StatusNotFound},
		{http.MethodGet, "/v1/kvx/staging/B", http.StatusNotFound},
		{http.MethodGet, "/", http.StatusNotFound},
	}
	for _, tt := range tests {
		response, body := ask(t, tt.method, server.URL+tt.path)
		if response.StatusCode != tt.status {
			t.Errorf("%s %s: %d %s, want %d", tt.method, tt.path, response.StatusCode, body, tt.status)
		}
		if allow := response.Header.Get("Allow"); (tt.status == http.StatusMethodNotAllowed) != (allow == http.MethodGet) {
			t.Errorf("%s %s: Allow: %q", tt.method, tt.path, allow)
		}
	}
	if got := read(t, store, "staging/B"); string(got.Value) != "b" {
		t.Errorf("the value is %q", got.Value)
	}
}

func TestToken(t *testing.T) {
	store := open(t)
	fill(t, store)
	secret := "s3cret"
	server := serve(t, handler(store, embedded.Options{Token: func() string { return secret }}))
	status := func(path string, header ...string) int {
		response, body := ask(t, http.MethodGet, server.URL+path, header...)
		if response.StatusCode == http.StatusForbidden && response.Header.Get("X-Consul-Index") != "" || strings.Contains(body, hidden) {
			t.Errorf("a refusal tells: %v %s", response.Header, body)
		}
		return response.StatusCode
	}
	const path = "/v1/kv/staging/B"
	for _, header := range [][]string{nil, {"X-Consul-Token", ""}, {"X-Consul-Token", "s3cre"}, {"X-Consul-Token", "s3crets"}, {"Authorization", "s3cret"}} {
		if got := status(path, header...); got != http.StatusForbidden {
			t.Errorf("with %v: %d", header, got)
		}
	}
	if got := status("/v1/other"); got != http.StatusForbidden {
		t.Errorf("elsewhere: %d", got)
	}
	if got := status(path, "X-Consul-Token", secret); got != http.StatusOK {
		t.Errorf("with the token: %d", got)
	}
	secret = ""
	for _, header := range [][]string{nil, {"X-Consul-Token", ""}, {"X-Consul-Token", "s3cret"}} {
		if got := status(path, header...); got != http.StatusForbidden {
			t.Errorf("while there is no token, with %v: %d", header, got)
		}
	}
}
