package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/reattach/reattach/failover"
)

// Reader answers questions. Explain and History return an error that wraps
// [failover.ErrNoResource] for a name that is not configured.
type Reader interface {
	Status(ctx context.Context) (failover.Status, error)
	Explain(ctx context.Context, resource string) (failover.Explanation, error)
	History(ctx context.Context, resource string) ([]failover.Record, error)
}

// Commander carries out what a person asks. It blocks until it is answered.
type Commander interface {
	Do(ctx context.Context, c failover.Command) (failover.Answer, error)
}

// Health tells whether the daemon is well (it turns) and ready (it can judge).
type Health interface {
	Healthy(ctx context.Context) error
	Ready(ctx context.Context) error
}

// Observer says how this observer is, to the others.
type Observer interface {
	Health(ctx context.Context) (failover.Health, error)
}

// API says what a door offers. Fields that are nil or false are not offered.
type API struct {
	Reader    Reader
	Health    Health
	Observer  Observer
	Commander Commander
	Events    Events
	Tester    Tester
	Rehearser Rehearser
	Metrics   http.Handler
	KV        http.Handler
	Pprof     bool
	Log       *slog.Logger
}

// Times and sizes of one request.
const (
	answerTime  = 5 * time.Second  // to answer a question
	commandTime = 2 * time.Minute  // to carry out a command: a ballot and its commit
	kvTime      = 15 * time.Minute // a blocking query's ten minutes, and a margin
	bodyTime    = 5 * time.Second  // to send a body
	bodyLimit   = 64 << 10         // bytes of a command
)

// Handler returns the door.
func (a API) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", within(answerTime, a.page))
	mux.Handle("GET /v1/status", within(answerTime, a.status))
	mux.Handle("GET /v1/explain/{resource}", within(answerTime, a.explain))
	mux.Handle("GET /v1/history", within(answerTime, a.history))
	mux.Handle("GET /v1/history/{resource}", within(answerTime, a.history))
	mux.Handle("GET /-/healthy", within(answerTime, health(a.Health.Healthy)))
	mux.Handle("GET /-/ready", within(answerTime, health(a.Health.Ready)))
	mux.Handle("/", within(answerTime, a.nothing))
	if a.Observer != nil {
		mux.Handle("GET "+observerPath, within(answerTime, a.observer))
	}
	if a.Commander != nil {
		mux.Handle("POST /v1/command", within(commandTime, a.command))
	}
	if a.Events != nil {
		mux.Handle("GET /v1/events", within(EventsWait+answerTime, a.events))
	}
	if a.Tester != nil {
		mux.Handle("POST /v1/notify/{name}", within(testTime, a.test))
	}
	if a.Rehearser != nil {
		mux.Handle("POST /v1/step/{resource}/{step}", within(stepTime, a.step))
	}
	if a.Metrics != nil {
		mux.Handle("GET /metrics", within(answerTime, a.Metrics.ServeHTTP))
	}
	if a.KV != nil {
		mux.Handle("/v1/kv/", within(kvTime, a.KV.ServeHTTP))
	}
	if a.Pprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return ownName(mux)
}

// within bounds an answer in time, and keeps browsers from guessing types,
// framing or storing it.
func within(d time.Duration, h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), d)
		defer cancel()
		// The writer of a test has no deadlines to set; every real one has.
		control := http.NewResponseController(w)
		_ = control.SetWriteDeadline(time.Now().Add(d + time.Second))
		if r.ContentLength != 0 {
			_ = control.SetReadDeadline(time.Now().Add(bodyTime))
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("X-Frame-Options", "DENY")
		w.Header().Set("Cache-Control", "no-store")
		h(w, r.WithContext(ctx))
	})
}

func (a API) status(w http.ResponseWriter, r *http.Request) {
	status, err := a.Reader.Status(r.Context())
	if err != nil {
		a.fail(w, err)
		return
	}
	if name := r.FormValue("resource"); name != "" {
		if status, err = only(status, name); err != nil {
			a.fail(w, err)
			return
		}
	}
	a.write(w, http.StatusOK, status)
}

// only leaves one resource, and what concerns it, in a status.
func only(s failover.Status, name string) (failover.Status, error) {
	var resources []failover.ResourceStatus
	for _, r := range s.Resources {
		if r.Name == name {
			resources = append(resources, r)
		}
	}
	if resources == nil {
		return s, fmt.Errorf("%w %q", failover.ErrNoResource, name)
	}
	var notices []failover.Notice
	for _, n := range s.Notices {
		if n.Resource == name || n.Resource == "" {
			notices = append(notices, n)
		}
	}
	s.Resources, s.Notices = resources, notices
	return s, nil
}

func (a API) observer(w http.ResponseWriter, r *http.Request) {
	health, err := a.Observer.Health(r.Context())
	if err != nil {
		a.fail(w, err)
		return
	}
	a.write(w, http.StatusOK, health)
}

func (a API) explain(w http.ResponseWriter, r *http.Request) {
	explanation, err := a.Reader.Explain(r.Context(), r.PathValue("resource"))
	if err != nil {
		a.fail(w, err)
		return
	}
	a.write(w, http.StatusOK, explanation)
}

func (a API) history(w http.ResponseWriter, r *http.Request) {
	records, err := a.Reader.History(r.Context(), r.PathValue("resource"))
	if err != nil {
		a.fail(w, err)
		return
	}
	if records == nil {
		records = []failover.Record{}
	}
	a.write(w, http.StatusOK, records)
}

func (a API) command(w http.ResponseWriter, r *http.Request) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		a.refuse(w, http.StatusUnsupportedMediaType, "a command is sent as application/json", "")
		return
	}
	in := json.NewDecoder(http.MaxBytesReader(w, r.Body, bodyLimit))
	in.DisallowUnknownFields()
	var c failover.Command
	if err := in.Decode(&c); err != nil {
		var tooLong *http.MaxBytesError
		if errors.As(err, &tooLong) {
			a.refuse(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("a command has at most %d bytes", bodyLimit), "")
			return
		}
		a.refuse(w, http.StatusBadRequest, "not a command: "+err.Error(), "are reattach and its daemon of the same version?")
		return
	}
	// The body is in: from here on the connection is read only to notice that
	// the person gave up.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(commandTime))
	answer, err := a.Commander.Do(r.Context(), c)
	if err != nil {
		a.fail(w, err)
		return
	}
	a.write(w, statusOf(answer), answer)
}

// statusOf is the status code of an answer. Its body says the rest.
func statusOf(a failover.Answer) int {
	switch {
	case a.Done:
		return http.StatusOK
	case a.Invalid:
		return http.StatusUnprocessableEntity
	case a.Unsure:
		return http.StatusGatewayTimeout
	}
	return http.StatusConflict
}

func health(ask func(context.Context) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if err := ask(r.Context()); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintln(w, err)
			return
		}
		fmt.Fprintln(w, "ok")
	}
}

// nothing answers what no route matches.
func (a API) nothing(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/v1/command" && a.Commander == nil || strings.HasPrefix(r.URL.Path, "/v1/notify/") && a.Tester == nil ||
		strings.HasPrefix(r.URL.Path, "/v1/step/") && a.Rehearser == nil {
		a.refuse(w, http.StatusForbidden, "this door only answers questions", "commands go through the daemon's unix socket")
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead && strings.HasPrefix(r.URL.Path, "/v1/") {
		a.refuse(w, http.StatusMethodNotAllowed, r.Method+" is not answered here", "")
		return
	}
	a.refuse(w, http.StatusNotFound, "there is nothing here", "")
}

// problem is the body of an error.
type problem struct {
	Error string `json:"error"`
	Hint  string `json:"hint,omitempty"`
}

func (a API) refuse(w http.ResponseWriter, code int, text, hint string) {
	a.write(w, code, problem{text, hint})
}

func (a API) fail(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, failover.ErrNoResource):
		a.refuse(w, http.StatusNotFound, err.Error(), "`reattach status` lists the resources")
	case errors.Is(err, context.DeadlineExceeded):
		a.refuse(w, http.StatusGatewayTimeout, "no answer in time", "")
	default:
		a.refuse(w, http.StatusServiceUnavailable, err.Error(), "")
	}
}

func (a API) write(w http.ResponseWriter, code int, v any) {
	var b bytes.Buffer
	out := json.NewEncoder(&b)
	out.SetEscapeHTML(false)
	if err := out.Encode(v); err != nil {
		a.Log.Error("encoding an answer", "error", err)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(b.Bytes()) // who went away does not want it
}
