package httpapi_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/failover/httpapi"
)

// TestPeersAsk: an observer answers for himself, and whatever else is there is told
// in a few words.
func TestPeersAsk(t *testing.T) {
	answer := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v1/observer" {
				t.Errorf("asked for %s", r.URL.Path)
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	for name, tt := range map[string]struct {
		serve http.HandlerFunc
		want  string // of the error
	}{
		"well":             {answer(200, `{"observer":"mon-b","zone":"az-2","version":"1","hashes":{"db":"12"}}`), ""},
		"another one":      {answer(200, `{"observer":"mon-c"}`), `what answers there calls itself "mon-c"`},
		"another program":  {answer(404, "not found"), "it answers 404 Not Found"},
		"no JSON":          {answer(200, "<html>"), "what answers there is no observer"},
		"a redirect":       {answer(302, ""), "it answers 302 Found"},
		"without a health": {answer(503, `{"error":"the daemon has stopped"}`), "it answers 503 Service Unavailable"},
		"hangs":            {hang, "timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(tt.serve)
			defer server.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			h, err := httpapi.NewPeers().Ask(ctx, "mon-b", server.URL+"/")
			switch {
			case tt.want == "" && (err != nil || h.Zone != "az-2" || h.Hashes["db"] != "12"):
				t.Errorf("%v, %+v", err, h)
			case tt.want != "" && (err == nil || err.Error() != tt.want):
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
	if _, err := httpapi.NewPeers().Ask(t.Context(), "mon-b", "http://"+ln.Addr().String()); err == nil || err.Error() != "connection refused" {
		t.Errorf("nobody listens: %v", err)
	}
	if _, err := httpapi.NewPeers().Ask(t.Context(), "mon-b", "http://nowhere.invalid:9778"); err == nil || strings.Contains(err.Error(), "http://") {
		t.Errorf("no such host: %v", err)
	}
}
