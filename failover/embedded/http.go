package embedded

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/reattach/reattach/failover"
)

// Options settle what [Handler] answers.
type Options struct {
	// Keys returns the keys that may be read: the configured handles. All others
	// look absent, in lists too. It is asked for each look at the store.
	Keys func() []string
	// Token returns the ACL token that a reader must send as X-Consul-Token; nil
	// asks for none. While it returns "", nobody is answered.
	Token func() string
	// Datacenter is the name that readers may give as ?dc=; "" is "dc1".
	Datacenter string
}

// Limits of a blocking query, as Consul has them.
const (
	waitDefault = 5 * time.Minute
	waitMost    = 10 * time.Minute
)

// Handler answers Consul's KV read calls from the store: GET /v1/kv/<key> with
// ?raw, ?recurse, ?keys (and ?separator), ?index and ?wait, so that
// consul-template, envconsul and Consul's client libraries work against it
// unchanged. ?stale and ?consistent change nothing: there is one copy, and it is
// always the newest. Writes and other datacenters are refused with 405.
//
// A waiting request ends with 503 when its context does, or the store is closed;
// a server that shuts down cancels its base context first.
func Handler(store *Store, options Options) http.Handler {
	if options.Datacenter == "" {
		options.Datacenter = "dc1"
	}
	return &handler{store: store, options: options}
}

type handler struct {
	store   *Store
	options Options
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	if !h.allowed(r) {
		http.Error(w, "Permission denied", http.StatusForbidden)
		return
	}
	q, refusal := parseQuery(r, h.options.Datacenter)
	if refusal != nil {
		if refusal.status == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", http.MethodGet)
		}
		http.Error(w, refusal.text, refusal.status)
		return
	}
	found, err := h.find(r.Context(), q)
	switch {
	case errors.Is(err, ErrClosed), err != nil && r.Context().Err() != nil:
		// Without a status an end would look like an empty value.
		http.Error(w, "shutting down", http.StatusServiceUnavailable)
	case err != nil:
		http.Error(w, "the store cannot be read", http.StatusInternalServerError)
	default:
		answer(w, q, found)
	}
}

func (h *handler) allowed(r *http.Request) bool {
	if h.options.Token == nil {
		return true
	}
	want := h.options.Token()
	got := r.Header.Get("X-Consul-Token")
	return want != "" && subtle.ConstantTimeCompare([]byte(want), []byte(got)) == 1
}

// query is what a request asks for.
type query struct {
	key       string // or a prefix
	prefix    bool   // recurse or keys
	keys      bool
	separator string
	raw       bool
	index     uint64
	wait      time.Duration
}

// refusal is an answer to a request that cannot be understood, or is not for us.
type refusal struct {
	status int
	text   string
}

func parseQuery(r *http.Request, datacenter string) (query, *refusal) {
	params := r.URL.Query()
	switch name, ok := strings.CutPrefix(r.URL.Path, "/v1/kv/"); {
	case !ok && r.URL.Path != "/v1/kv":
		return query{}, &refusal{http.StatusNotFound, "only /v1/kv/ is served here"}
	case r.Method != http.MethodGet:
		return query{}, &refusal{http.StatusMethodNotAllowed, "this store is read-only: handles are changed by reattach"}
	case params.Has("dc") && params.Get("dc") != "" && params.Get("dc") != datacenter:
		return query{}, &refusal{http.StatusMethodNotAllowed, "there is no other datacenter"}
	case params.Has("stale") && params.Has("consistent"):
		return query{}, &refusal{http.StatusBadRequest, "stale and consistent exclude each other"}
	default:
		q := query{key: cleanKey(name), keys: params.Has("keys"), raw: params.Has("raw"), wait: waitDefault}
		q.prefix = q.keys || params.Has("recurse")
		q.separator = params.Get("separator")
		if q.key == "" && !q.prefix {
			return query{}, &refusal{http.StatusBadRequest, "Missing key name"}
		}
		return q, q.parseWait(params.Get("index"), params.Get("wait"))
	}
}

func (q *query) parseWait(index, wait string) *refusal {
	var err error
	if index != "" {
		if q.index, err = strconv.ParseUint(index, 10, 64); err != nil {
			return &refusal{http.StatusBadRequest, "Invalid index"}
		}
	}
	if wait != "" {
		if q.wait, err = time.ParseDuration(wait); err != nil {
			return &refusal{http.StatusBadRequest, "Invalid wait time"}
		}
	}
	if q.wait <= 0 {
		q.wait = waitDefault
	}
	q.wait = min(q.wait, waitMost)
	return nil
}

// cleanKey is the key that Consul takes a path for: cleaned, but for a slash at
// its end.
func cleanKey(name string) string {
	if name == "" {
		return ""
	}
	clean := path.Clean(name)
	if strings.HasSuffix(name, "/") && !strings.HasSuffix(clean, "/") {
		clean += "/"
	}
	return clean
}

// findings is what a query found, and the index that it may wait from.
type findings struct {
	entries []failover.Entry
	index   uint64
}

// find looks for what q wants, and waits if q says so.
func (h *handler) find(ctx context.Context, q query) (findings, error) {
	var found findings
	err := h.store.await(ctx, q.wait, q.index, func(m *moment) (last uint64, err error) {
		if q.prefix {
			found, err = h.below(m, q.key)
			return found.index, err
		}
		found, last, err = h.one(m, q.key)
		return last, err
	})
	return found, err
}

// one looks for one key. The answer for a missing one has the store's index; what
// ends a wait is only that key's own creation or deletion.
func (h *handler) one(m *moment, key string) (found findings, last uint64, err error) {
	if !slices.Contains(h.options.Keys(), key) {
		return findings{index: m.index}, m.changes.forgotten, nil
	}
	e, err := get(m.kv, key)
	if err != nil || !e.Exists() {
		return findings{index: m.index}, m.gone(func(gone string) bool { return gone == key }), err
	}
	return findings{entries: []failover.Entry{e}, index: e.ModifyIndex}, e.ModifyIndex, nil
}

// below looks for the readable keys below a prefix. Its index is the highest of
// theirs, deletions included.
func (h *handler) below(m *moment, prefix string) (findings, error) {
	readable := map[string]bool{}
	for _, key := range h.options.Keys() {
		readable[key] = strings.HasPrefix(key, prefix)
	}
	found := findings{index: m.gone(func(key string) bool { return readable[key] })}
	for key, wanted := range readable {
		if !wanted {
			continue
		}
		e, err := get(m.kv, key)
		if err != nil {
			return findings{}, err
		}
		if e.Exists() {
			found.entries = append(found.entries, e)
			found.index = max(found.index, e.ModifyIndex)
		}
	}
	slices.SortFunc(found.entries, func(a, b failover.Entry) int { return strings.Compare(a.Key, b.Key) })
	return found, nil
}

// answer writes what was found. consul-template polls nine times a second, and
// renders nothing, where the index is missing or 0, on a 404 too.
func answer(w http.ResponseWriter, q query, found findings) {
	w.Header().Set("X-Consul-Index", strconv.FormatUint(found.index, 10))
	w.Header().Set("X-Consul-LastContact", "0")
	w.Header().Set("X-Consul-KnownLeader", "true")
	switch {
	case len(found.entries) == 0 && !(q.keys && q.key == ""):
		w.WriteHeader(http.StatusNotFound)
	case q.keys:
		writeJSON(w, keyList(found.entries, q.key, q.separator))
	case q.raw && !q.prefix:
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "sandbox")
		_, _ = w.Write(found.entries[0].Value)
	default:
		pairs := make([]pair, len(found.entries))
		for i, e := range found.entries {
			pairs[i] = pair{Key: e.Key, Flags: e.Flags, Value: e.Value, CreateIndex: e.CreateIndex, ModifyIndex: e.ModifyIndex}
		}
		writeJSON(w, pairs)
	}
}

// pair is an entry as Consul writes it; the value is in base64, null when empty.
type pair struct {
	LockIndex   uint64
	Key         string
	Flags       uint64
	Value       []byte
	CreateIndex uint64
	ModifyIndex uint64
}

// keyList lists the keys, each cut after the first separator beyond the prefix.
func keyList(entries []failover.Entry, prefix, separator string) []string {
	list := []string{}
	for _, e := range entries {
		key := e.Key
		if separator != "" {
			if at := strings.Index(key[len(prefix):], separator); at >= 0 {
				key = key[:len(prefix)+at+len(separator)]
			}
		}
		if len(list) == 0 || list[len(list)-1] != key {
			list = append(list, key)
		}
	}
	return list
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	body, _ := json.Marshal(v) // strings, numbers and bytes: always possible
	_, _ = w.Write(body)
}
