package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/probe"
)

const (
	// alertEvery is well below Alertmanager's resolve_timeout (5 min by default).
	alertEvery = time.Minute
	// alertEvent is how long an alert stands for what happened and does not last:
	// longer than any usual group_interval, or nobody would hear of it.
	alertEvent = time.Hour
)

// AlertmanagerOptions are what an [Alertmanager] is made of.
type AlertmanagerOptions struct {
	URLs  []probe.Secret // of each instance of the cluster, without /api/v2; at least one
	Token probe.Secret   // sent as a bearer token; may be empty
	TLS   probe.TLSConfig
	Page  string // the daemon's own page, for people to open; may be empty
}

// Alertmanager keeps alerts in every instance of an Alertmanager cluster, by its
// API v2. Instances do not tell each other of alerts, so all are told; it is
// enough that one took them.
//
// An alert is known by its labels. They are what all notices of a matter have in
// common: alertname="Reattach", matter, and resource where it concerns one; and
// severity, by which people route. What changes (event, texts, observer) is in
// the annotations. A matter that grows more severe begins an alert with the new
// severity and ends the former in the same request; while it lasts it never grows
// milder. Where it is not known which severity was told last (after a restart),
// the end is sent for all of them: nobody is told of the end of an alert that
// never was.
//
// An alert of what lasts has no end: Alertmanager ends it after its own
// resolve_timeout (5 min by default; it has to be longer than
// [Alertmanager.Every]) if this daemon falls silent. Because such an end yields to
// any that is named, clocks that differ do no harm. An alert of what does not last
// ends an hour after it happened.
type Alertmanager struct {
	opt AlertmanagerOptions

	mu      sync.Mutex
	known   map[string]alertState // by matter: what lasts
	failing []bool                // by instance: the last attempt failed
}

// alertState is what is remembered of a matter that lasts. After a restart the
// first repetition brings it back.
type alertState struct {
	severity failover.Severity
	begun    time.Time
	told     time.Time
}

// NewAlertmanager checks the options. Nothing is dialled.
func NewAlertmanager(opt AlertmanagerOptions) (*Alertmanager, error) {
	if len(opt.URLs) == 0 {
		return nil, errors.New("alertmanager: no url")
	}
	for _, u := range opt.URLs {
		if err := checkURL(u); err != nil {
			return nil, fmt.Errorf("alertmanager: urls: %w", err)
		}
	}
	return &Alertmanager{opt: opt, known: map[string]alertState{}, failing: make([]bool, len(opt.URLs))}, nil
}

// Every is how often Alertmanager is told again of what lasts: a minute.
func (a *Alertmanager) Every() time.Duration { return alertEvery }

// Send is [Alertmanager.SendAll] for one message.
func (a *Alertmanager) Send(ctx context.Context, m Message) error {
	return a.SendAll(ctx, []Message{m})
}

// SendAll posts the alerts of all messages to all instances, and succeeds if one
// of them took them. Of a matter that began and ended within ms, the end counts.
func (a *Alertmanager) SendAll(ctx context.Context, ms []Message) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	alerts, known := a.alerts(ms, time.Now())
	body, err := json.Marshal(alerts)
	if err != nil {
		return Permanent(fmt.Errorf("alertmanager: %w", err))
	}
	if err := a.postAll(ctx, body); err != nil {
		return err
	}
	a.known = known
	return nil
}

// postAll tries the instances that answered last first, and leaves each a share
// of the time, so that one that hangs does not keep the others from being told.
func (a *Alertmanager) postAll(ctx context.Context, body []byte) error {
	order := make([]int, len(a.opt.URLs))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return rank(a.failing[i]) - rank(a.failing[j]) })
	var failed []error
	for n, i := range order {
		err := a.postOne(ctx, i, len(order)-n, body)
		if a.failing[i] = err != nil; err != nil {
			failed = append(failed, err)
		}
	}
	if len(failed) < len(order) {
		return nil
	}
	if len(failed) == 1 {
		return fmt.Errorf("alertmanager: %w", failed[0])
	}
	err := fmt.Errorf("alertmanager: no instance took it: %w", joined(failed))
	if slices.ContainsFunc(failed, func(err error) bool { return !IsPermanent(err) }) {
		return err // one may take it later
	}
	return Permanent(err)
}

func rank(failing bool) int {
	if failing {
		return 1
	}
	return 0
}

// postOne posts to one instance, in the share of the time that left instances have.
func (a *Alertmanager) postOne(ctx context.Context, i, left int, body []byte) error {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(left))
		defer cancel()
	}
	err := a.conversation(ctx, a.opt.URLs[i], body)
	if err != nil && len(a.opt.URLs) > 1 {
		return fmt.Errorf("instance %d: %w", i+1, err)
	}
	return err
}

// conversation is one request. The TLS files are read for each, so that renewed
// ones are used.
func (a *Alertmanager) conversation(ctx context.Context, base probe.Secret, body []byte) error {
	target, err := url.Parse(base.Reveal())
	if err != nil {
		return Permanent(errors.New("the url cannot be read"))
	}
	conf, err := a.opt.TLS.Client(target.Hostname(), probe.TLSVerify)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target.JoinPath("api/v2/alerts").String(), bytes.NewReader(body))
	if err != nil {
		return Permanent(errors.New("the url cannot be used"))
	}
	req.Header.Set("Content-Type", "application/json")
	if a.opt.Token != "" {
		req.Header.Set("Authorization", "Bearer "+a.opt.Token.Reveal())
	}
	client := newClient(conf)
	defer client.CloseIdleConnections()
	return post(ctx, client, req, a.opt.Token.Reveal(), base.Reveal())
}

// alert is one element of the body of POST /api/v2/alerts.
type alert struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt,omitzero"`
	GeneratorURL string            `json:"generatorURL,omitempty"`
}

// story is what a batch says of one matter: the notices since its last end, or
// that end.
type story struct {
	matter  string
	runbook string
	notices []failover.Notice
}

// stories sorts the notices of a batch by their matters, in the order of their
// first notices.
func stories(ms []Message) (all []*story) {
	for _, m := range ms {
		several := slices.ContainsFunc(m.Notices, func(n failover.Notice) bool { return n.Matter() != m.Notices[0].Matter() })
		for _, n := range m.Notices {
			matter := m.Matter // which an end may know by another notice's name
			if several {
				matter = n.Matter()
			}
			i := slices.IndexFunc(all, func(s *story) bool { return s.matter == matter })
			if i < 0 {
				i, all = len(all), append(all, &story{matter: matter})
			}
			s := all[i]
			if n.Over || s.over() {
				s.notices = nil
			}
			s.runbook, s.notices = m.Runbook, append(s.notices, n)
		}
	}
	return all
}

func (s *story) over() bool { return len(s.notices) == 1 && s.notices[0].Over }

// alerts is what to post, and what is known once it was taken.
func (a *Alertmanager) alerts(ms []Message, now time.Time) ([]alert, map[string]alertState) {
	known := map[string]alertState{}
	for matter, state := range a.known {
		if now.Sub(state.told) < alertEvent { // what lasts is repeated each minute
			known[matter] = state
		}
	}
	alerts := []alert{}
	for _, s := range stories(ms) {
		before, told := known[s.matter]
		if s.over() {
			delete(known, s.matter)
			for severity := failover.Info; severity <= failover.Critical; severity++ {
				if !told || severity == before.severity {
					alerts = append(alerts, a.alert(s, s.notices[0], severity, begun(s.notices, before)).end(s.notices[0].At))
				}
			}
			continue
		}
		lead := leading(Message{Notices: s.notices})
		state := alertState{severity: max(lead.Severity(), before.severity), begun: begun(s.notices, before), told: now}
		next := a.alert(s, lead, state.severity, state.begun)
		if told || slices.ContainsFunc(s.notices, func(n failover.Notice) bool { return n.Lasts }) {
			known[s.matter] = state
		} else {
			next = next.end(lead.At.Add(alertEvent))
		}
		alerts = append(alerts, next)
		if told && before.severity != state.severity {
			alerts = append(alerts, a.alert(s, lead, before.severity, state.begun).end(lead.At))
		}
	}
	return alerts, known
}

// begun is when a matter began, as far as it is known.
func begun(notices []failover.Notice, before alertState) time.Time {
	at := before.begun
	for _, n := range notices {
		since := n.Since
		if since.IsZero() {
			since = n.At
		}
		if at.IsZero() || since.Before(at) {
			at = since
		}
	}
	return at
}

func (a *Alertmanager) alert(s *story, n failover.Notice, severity failover.Severity, begun time.Time) alert {
	m := Message{Matter: s.matter, Notices: []failover.Notice{n}, Over: n.Over, Runbook: s.runbook}
	labels := map[string]string{"alertname": "Reattach", "matter": s.matter, "severity": severity.String()}
	notes := map[string]string{"summary": Title(m), "description": Text(m), "event": n.Event}
	for name, value := range map[string]string{"runbook_url": runbookLink(s.runbook, n.Event), "next": n.Next, "observer": n.Observer} {
		if value != "" {
			notes[name] = value
		}
	}
	if n.Resource != "" {
		labels["resource"] = n.Resource
	}
	return alert{Labels: labels, Annotations: notes, StartsAt: begun, GeneratorURL: a.opt.Page}
}

// end is an alert that is over since at.
func (a alert) end(at time.Time) alert {
	a.EndsAt = at
	if at.Before(a.StartsAt) { // Alertmanager refuses an end before the beginning
		a.EndsAt = a.StartsAt
	}
	return a
}
