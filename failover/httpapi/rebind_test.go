package httpapi

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestOwnName: a page from elsewhere whose name points here gets nothing.
func TestOwnName(t *testing.T) {
	srv := httptest.NewServer(ownName(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	defer srv.Close()
	for host, want := range map[string]int{
		"":                     http.StatusOK, // the address itself
		"localhost:9778":       http.StatusOK,
		"Localhost.":           http.StatusOK,
		"127.0.0.1":            http.StatusOK,
		"[::1]:9778":           http.StatusOK,
		"evil.example:9778":    http.StatusMisdirectedRequest,
		"localhost.evil.com":   http.StatusMisdirectedRequest,
		"127.0.0.1.evil.com:1": http.StatusMisdirectedRequest,
	} {
		req, err := http.NewRequest(http.MethodGet, srv.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		if host != "" {
			req.Host = host
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("Host %q: %d, want %d", host, resp.StatusCode, want)
		}
	}
}
