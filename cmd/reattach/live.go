package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/reattach/reattach/configs"
	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/embedded"
	"github.com/reattach/reattach/failover/httpapi"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// liveProbes is how many endpoints check --live probes at a time.
const liveProbes = 16

// liveReport is what check --live found.
type liveReport struct {
	Resources []liveResource `json:"resources"`
	Store     string         `json:"store_error,omitempty"` // why it could not be read
	Note      string         `json:"note,omitempty"`
}

// liveResource is one resource in a liveReport. Without a store, Condition is
// empty, and only the endpoints are told of.
type liveResource struct {
	Name      string         `json:"name"`
	Condition string         `json:"condition,omitempty"`
	Detail    string         `json:"detail,omitempty"`
	Attached  string         `json:"attached,omitempty"`
	Protected bool           `json:"protected"`
	Why       string         `json:"why,omitempty"`
	Endpoints []liveEndpoint `json:"endpoints"`
	Handles   []liveHandle   `json:"handles,omitempty"`
	observed  bool           // the mode is observe
}

type liveEndpoint struct {
	Name string `json:"name"`
	probeJSON
	Requirements []liveRequirement `json:"requirements,omitempty"`
	Privilege    *livePrivilege    `json:"missing_privilege,omitempty"`
	Warning      string            `json:"warning,omitempty"` // of what would surprise, and keeps nothing from being done
}

type liveHandle struct {
	Key     string   `json:"key"`
	Names   string   `json:"names,omitempty"` // the endpoint; empty if none
	Ours    bool     `json:"ours"`
	Differs []string `json:"differs,omitempty"` // from the nearest endpoint, by part of the URL
}

// verdict is the exit code of a live check.
func (l *liveReport) verdict() error {
	if l.Store != "" {
		return &exit{code: exitUnreachable}
	}
	for _, r := range l.Resources {
		if r.needsPerson() || r.unready() || slices.ContainsFunc(r.Endpoints, func(e liveEndpoint) bool { return e.Class != probe.OK }) {
			return &exit{code: exitNo}
		}
	}
	return nil
}

// needsPerson says that the daemon would not mend the handles by itself.
func (r liveResource) needsPerson() bool {
	return r.Condition == policy.Foreign.String() || r.Condition == policy.Deleted.String()
}

// checkLive probes and reads, and writes nothing.
func checkLive(ctx context.Context, conf *configs.Config) *liveReport {
	results := probeAll(ctx, conf)
	report := &liveReport{}
	seen, err := readStore(ctx, conf, results)
	switch {
	case errors.Is(err, errNoFile):
		report.Note = "the store's file does not exist yet; the daemon creates it"
	case errors.Is(err, embedded.ErrLocked):
		if seen, err = askDaemon(ctx, conf.Listen.Socket); err != nil {
			report.Store = embedded.ErrLocked.Error() + ", and " + err.Error()
			break
		}
		report.Note = "the running daemon has the store open: this is what it says"
	case err != nil:
		report.Store = err.Error()
	}
	for i := range conf.Resources {
		r := &conf.Resources[i]
		out := liveResource{Name: r.Name, observed: r.Mode == policy.Observe}
		for j, e := range r.Endpoints {
			result := results[r.Name][j]
			out.Endpoints = append(out.Endpoints, liveEndpoint{Name: e.Name, probeJSON: resultJSON(e.Target.URL, result),
				Requirements: requirements(r, result.Facts), Privilege: privilege(r, e.Target, result.Facts)})
		}
		if seen != nil {
			out.describe(r, seen)
		}
		for j := range out.Endpoints {
			out.Endpoints[j].Warning = out.readOnly(r, out.Endpoints[j])
		}
		report.Resources = append(report.Resources, out)
	}
	return report
}

// probeAll has one conversation with each endpoint.
func probeAll(ctx context.Context, conf *configs.Config) map[string][]probe.Result {
	var group sync.WaitGroup
	room := make(chan struct{}, liveProbes)
	all := make(map[string][]probe.Result, len(conf.Resources))
	for _, r := range conf.Resources {
		results := make([]probe.Result, len(r.Endpoints))
		all[r.Name] = results
		for j, e := range r.Endpoints {
			room <- struct{}{}
			group.Go(func() {
				defer func() { <-room }()
				results[j] = liveProbe(ctx, r.Protocol, e.Target)
			})
		}
	}
	group.Wait()
	return all
}

// sight is what the store showed: what the engine makes of it, and the handles' values.
type sight struct {
	status  failover.Status
	entries map[string]failover.Entry
}

// handsTied is an engine that is told everything and whose transactions are
// carried out only if they do not write: what it then says of a resource is
// what the daemon would say.
type handsTied struct {
	engine  *failover.Engine
	store   failover.Store
	entries map[string]failover.Entry
	err     error // the store's first one
}

func readStore(ctx context.Context, conf *configs.Config, results map[string][]probe.Result) (*sight, error) {
	store, err := openStore(conf, func() probe.Secret { return conf.Store.Consul.Token }, false)
	if err != nil {
		return nil, err
	}
	defer store.close()
	h := &handsTied{engine: failover.NewEngine(engineConfig(conf)), store: store.Store, entries: map[string]failover.Entry{}}
	for _, r := range conf.Resources {
		for j, e := range r.Endpoints {
			h.step(ctx, failover.Observed{Resource: r.Name, Endpoint: e.Name, Result: results[r.Name][j]})
		}
	}
	controls, err := h.controls(ctx)
	if err != nil {
		return nil, err
	}
	h.step(ctx, failover.Changed{Prefix: failover.Prefix + "control/", Entries: controls})
	h.step(ctx, failover.Tick{})
	if h.err != nil {
		return nil, h.err
	}
	return &sight{h.engine.Status(time.Now()), h.entries}, nil
}

// askDaemon asks the daemon that has the store open.
func askDaemon(ctx context.Context, socket string) (*sight, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	raw, err := httpapi.NewClient(socket).Status(ctx, "")
	if err != nil {
		return nil, asked(err, socket)
	}
	status, err := httpapi.ParseStatus(raw)
	return &sight{status: status}, err
}

func (h *handsTied) controls(ctx context.Context) ([]failover.Entry, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	entries, _, err := h.store.Watch(ctx, failover.Prefix+"control/", 0)
	return entries, err
}

// step tells the engine something, reads what it wants to read, and tells it that.
func (h *handsTied) step(ctx context.Context, event failover.Event) {
	// The effects are good until the next step only.
	for _, effect := range slices.Clone(h.engine.Step(time.Now(), event)) {
		t, ok := effect.(failover.Transact)
		if !ok || slices.ContainsFunc(t.Ops, func(o failover.Op) bool { return o.Verb.Writes() }) {
			continue
		}
		reply, sent, err := h.read(ctx, t)
		if err != nil && h.err == nil {
			h.err = err
		}
		h.step(ctx, failover.Answered{ID: t.ID, Reply: reply, Err: err, Sent: sent})
	}
}

func (h *handsTied) read(ctx context.Context, t failover.Transact) (failover.Reply, time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	sent := time.Now()
	reply, err := h.store.Txn(ctx, t.Ops)
	for _, e := range reply.Entries {
		h.entries[e.Key] = e
	}
	return reply, sent, err
}

// describe adds what the store says of a resource.
func (r *liveResource) describe(def *policy.Resource, seen *sight) {
	i := slices.IndexFunc(seen.status.Resources, func(s failover.ResourceStatus) bool { return s.Name == def.Name })
	if i < 0 {
		return
	}
	s := seen.status.Resources[i]
	r.Condition, r.Detail, r.Attached, r.Protected, r.Why = s.Condition, s.Detail, s.Attached, s.Protected, s.Why
	for j, h := range def.Handles {
		out := liveHandle{Key: h.Key}
		if j < len(s.Handles) {
			out.Names, out.Ours = s.Handles[j].Names, s.Handles[j].Ours
		}
		if e := seen.entries[h.Key]; e.Exists() {
			out.Differs = differences(h, def, string(e.Value))
		}
		r.Handles = append(r.Handles, out)
	}
}
