package embedded_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/reattach/reattach/failover/embedded"
)

// FuzzHandler sends any request to the handler. It answers with a status of its
// own, never shows what is no handle, and has an index wherever it read the store.
func FuzzHandler(f *testing.F) {
	for _, request := range requests {
		path, query, _ := strings.Cut(request, "?")
		f.Add("GET", "/v1/kv/"+path, query, "")
	}
	f.Add("PUT", "/v1/kv/staging/B", "cas=0", "token")
	f.Add("GET", "/v1/kv", "keys", "token")
	f.Add("GET", "/v1/kv/../../reattach/state/orders", "raw", "")
	f.Add("GET", "/v1/kv/reattach/", "keys&separator=state", "")
	store := open(f)
	fill(f, store)
	closed := handler(store, embedded.Options{Token: func() string { return "secret" }})
	server := handler(store, embedded.Options{})
	ended, cancel := context.WithCancel(context.Background())
	cancel() // nobody waits
	f.Fuzz(func(t *testing.T, method, path, query, token string) {
		request := (&http.Request{
			Method: method, URL: &url.URL{Path: path, RawQuery: query},
			Header: http.Header{"X-Consul-Token": {token}},
		}).WithContext(ended)
		if code := send(closed, request).Code; code != http.StatusForbidden && token != "secret" {
			t.Errorf("without the token: %d", code)
		}
		answer := send(server, request)
		if body := answer.Body.String(); strings.Contains(body, hidden) || strings.Contains(body, "reattach/") {
			t.Errorf("%s", body)
		}
		switch answer.Code {
		case http.StatusOK:
			if method != http.MethodGet {
				t.Errorf("%s was answered", method)
			}
			if answer.Header().Get("X-Consul-Index") == "" {
				t.Error("an answer without an index")
			}
		case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed:
		case http.StatusServiceUnavailable: // it would have waited
		default:
			t.Errorf("status %d", answer.Code)
		}
	})
}

func send(handler http.Handler, request *http.Request) *httptest.ResponseRecorder {
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	return recorder
}
