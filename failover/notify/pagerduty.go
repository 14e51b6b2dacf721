package notify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/probe"
)

// PagerDutyURL is where PagerDuty takes events (Events API v2).
const PagerDutyURL = "https://events.pagerduty.com/v2/enqueue"

// What the Events API v2 allows, in characters, and what keeps an event of many
// notices far below its 512 KiB.
const (
	pagerDedupKey = 255
	pagerSummary  = 1024
	pagerDetail   = 1024
	pagerNotices  = 50
)

// PagerDutyOptions are what a [PagerDuty] is made of.
type PagerDutyOptions struct {
	RoutingKey probe.Secret // of the service's integration
	URL        probe.Secret // empty: [PagerDutyURL]
	Page       string       // the daemon's own page, for people to open; may be empty
}

// PagerDuty opens and resolves alerts by the Events API v2. One matter is one
// alert: its dedup_key is the message's matter, so that what is sent twice, or
// goes on, changes the alert and opens no second one.
//
// An event that was understood and refused (400) is not tried again; 429, 5xx
// and silence are.
type PagerDuty struct{ opt PagerDutyOptions }

// NewPagerDuty checks the options. Nothing is dialled.
func NewPagerDuty(opt PagerDutyOptions) (*PagerDuty, error) {
	if opt.RoutingKey == "" {
		return nil, errors.New("pagerduty: no routing key")
	}
	if opt.URL == "" {
		opt.URL = PagerDutyURL
	}
	if err := checkURL(opt.URL); err != nil {
		return nil, fmt.Errorf("pagerduty: url: %w", err)
	}
	return &PagerDuty{opt}, nil
}

// Send triggers the alert of the message's matter, or resolves it.
func (p *PagerDuty) Send(ctx context.Context, m Message) error {
	if err := postJSON(ctx, p.opt.URL, p.event(m), p.opt.RoutingKey.Reveal()); err != nil {
		return fmt.Errorf("pagerduty: %w", err)
	}
	return nil
}

// pagerEvent is the body of POST /v2/enqueue.
type pagerEvent struct {
	RoutingKey string        `json:"routing_key"`
	Action     string        `json:"event_action"`
	DedupKey   string        `json:"dedup_key"`
	Payload    *pagerPayload `json:"payload,omitempty"` // of a trigger
	Client     string        `json:"client,omitempty"`
	ClientURL  string        `json:"client_url,omitempty"`
	Links      []pagerLink   `json:"links,omitempty"`
}

type pagerPayload struct {
	Summary   string       `json:"summary"`
	Source    string       `json:"source"`
	Severity  string       `json:"severity"`
	Timestamp string       `json:"timestamp"`
	Component string       `json:"component,omitempty"`
	Group     string       `json:"group"`
	Class     string       `json:"class"`
	Details   pagerDetails `json:"custom_details"`
}

type pagerLink struct {
	Href string `json:"href"`
	Text string `json:"text"`
}

// pagerDetails are what the person who is paged reads below the title. PagerDuty
// shows them as a table: names are words, values are text.
type pagerDetails struct {
	What     string   `json:"what"`
	Next     string   `json:"next,omitempty"`
	From     string   `json:"from,omitempty"`
	To       string   `json:"to,omitempty"`
	Why      string   `json:"why,omitempty"`
	Since    string   `json:"since,omitempty"`
	Class    string   `json:"class,omitempty"`
	Phase    string   `json:"phase,omitempty"`
	Code     string   `json:"code,omitempty"`
	Gate     string   `json:"gate,omitempty"`
	Gates    []string `json:"gates,omitempty"`
	Observer string   `json:"observer,omitempty"`
	Others   []string `json:"others,omitempty"` // of a storm: the rest of it
}

func (p *PagerDuty) event(m Message) pagerEvent {
	e := pagerEvent{RoutingKey: p.opt.RoutingKey.Reveal(), Action: "trigger", DedupKey: shortKey(m.Matter, pagerDedupKey)}
	if m.Over {
		e.Action = "resolve" // only the key counts: PagerDuty keeps what the trigger said
		return e
	}
	e.Client, e.ClientURL = "reattach", p.opt.Page
	lead := leading(m)
	e.Payload = &pagerPayload{
		Summary: or(clip(Title(m), pagerSummary), lead.Event), Source: clip(or(lead.Observer, "reattach"), pagerDetail),
		Severity: lead.Severity().String(), Timestamp: stamp(lead.At), Component: clip(oneResource(m), pagerDetail),
		Group: "reattach", Class: lead.Event, Details: pagerDetailsOf(m, lead),
	}
	if link := runbookLink(m.Runbook, lead.Event); link != "" {
		e.Links = []pagerLink{{Href: link, Text: "Runbook: " + lead.Event}}
	}
	return e
}

func pagerDetailsOf(m Message, lead failover.Notice) pagerDetails {
	short := func(s string) string { return clip(s, pagerDetail) }
	d := pagerDetails{
		What: short(lead.Text), Next: short(lead.Next), From: short(lead.From), To: short(lead.To), Why: short(lead.Why),
		Class: short(lead.Class), Phase: short(lead.Phase), Code: short(lead.Code), Gate: short(lead.Gate), Observer: short(lead.Observer),
	}
	if !lead.Since.IsZero() {
		d.Since = stamp(lead.Since)
	}
	for _, g := range lead.Gates {
		d.Gates = append(d.Gates, short(passage(g)))
	}
	for _, n := range m.Notices {
		switch {
		case n.Key == lead.Key && n.At.Equal(lead.At):
		case len(d.Others) == pagerNotices:
			d.Others = append(d.Others, fmt.Sprintf("… and %d more: reattach status", len(m.Notices)-1-pagerNotices))
			return d
		default:
			d.Others = append(d.Others, short(n.Event+": "+n.Text))
		}
	}
	return d
}

// shortKey is a key of at most limit bytes. What is cut off is replaced by a
// hash of the whole, so that two long keys stay two.
func shortKey(key string, limit int) string {
	if len(key) <= limit {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	tail := "." + hex.EncodeToString(sum[:8])
	return clipBytes(key, limit-len(tail)) + tail
}
