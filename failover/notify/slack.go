package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/probe"
)

// What Block Kit allows, in characters and elements, and what a message of many
// notices makes of it: each notice is one block.
const (
	slackHeader  = 150
	slackSection = 3000
	slackField   = 2000
	slackShort   = 600 // of one notice among many, and of a command
	slackName    = 100
	slackNotices = 20
)

// SlackOptions are what a [Slack] is made of.
type SlackOptions struct {
	URL probe.Secret // of the incoming webhook: it is the credential, too
}

// Slack writes to one channel, by an incoming webhook. An incoming webhook can
// only write: that a matter is over is a message of its own, in green.
//
// A message that was understood and refused (400, 403, 404, 410) is not tried
// again; 429, after the time that Slack asks for, and 5xx are.
type Slack struct{ opt SlackOptions }

// NewSlack checks the options. Nothing is dialled.
func NewSlack(opt SlackOptions) (*Slack, error) {
	if err := checkURL(opt.URL); err != nil {
		return nil, fmt.Errorf("slack: webhook_url: %w", err)
	}
	return &Slack{opt}, nil
}

// Send posts the message into the channel.
func (s *Slack) Send(ctx context.Context, m Message) error {
	if err := postJSON(ctx, s.opt.URL, slackMessage(m)); err != nil {
		return fmt.Errorf("slack: %w", err)
	}
	return nil
}

// postJSON posts what becomes JSON to an address that is a secret itself.
func postJSON(ctx context.Context, to probe.Secret, what any, secrets ...string) error {
	body, err := json.Marshal(what)
	if err != nil {
		return Permanent(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.Reveal(), bytes.NewReader(body))
	if err != nil {
		return Permanent(errors.New("the address cannot be used"))
	}
	req.Header.Set("Content-Type", "application/json")
	client := newClient(nil)
	defer client.CloseIdleConnections()
	return post(ctx, client, req, append(secrets, to.Reveal())...)
}

// checkURL refuses an address that nothing can be posted to, without showing it.
func checkURL(s probe.Secret) error {
	u, err := url.Parse(s.Reveal())
	switch {
	case s == "":
		return errors.New("it is empty")
	case err != nil:
		return errors.New("it is no URL")
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return errors.New("it is no http:// or https:// URL")
	}
	return nil
}

type (
	slackBody struct {
		Text        string            `json:"text"` // what is shown where blocks are not: notifications
		Blocks      []slackBlock      `json:"blocks"`
		Attachments []slackAttachment `json:"attachments"`
	}
	// slackAttachment is there for its colour.
	slackAttachment struct {
		Color  string       `json:"color"`
		Blocks []slackBlock `json:"blocks"`
	}
	slackBlock struct {
		Type     string      `json:"type"`
		Text     *slackText  `json:"text,omitempty"`
		Fields   []slackText `json:"fields,omitempty"`
		Elements []slackText `json:"elements,omitempty"`
	}
	slackText struct {
		Type     string `json:"type"`
		Text     string `json:"text"`
		Verbatim bool   `json:"verbatim,omitempty"` // mrkdwn: names and addresses stay as they are
	}
)

// slackColors are those of the bar beside a message, by severity.
var slackColors = map[failover.Severity]string{failover.Info: "#5b7083", failover.Warning: "#daa038", failover.Critical: "#c62828"}

const slackGreen = "#2e7d32" // it is over

func slackMessage(m Message) slackBody {
	title := clip(Title(m), slackHeader)
	color := slackColors[worst(m)]
	if m.Over && !m.Notices[len(m.Notices)-1].Acked {
		color = slackGreen
	}
	blocks := slackMany(m.Notices)
	if len(m.Notices) == 1 {
		blocks = slackNotice(m.Notices[0])
	}
	if foot := slackFoot(m); foot != "" {
		blocks = append(blocks, slackBlock{Type: "context", Elements: []slackText{mrkdwn(foot)}})
	}
	return slackBody{
		Text:        slackEscape(title),
		Blocks:      []slackBlock{{Type: "header", Text: &slackText{Type: "plain_text", Text: or(title, "reattach")}}},
		Attachments: []slackAttachment{{Color: color, Blocks: blocks}},
	}
}

// slackNotice is one notice: what happened, what it rests on, what to do.
func slackNotice(n failover.Notice) []slackBlock {
	blocks := []slackBlock{section(escaped(n.Text, slackSection))}
	var fields []slackText
	add := func(name, value string) {
		if value != "" {
			fields = append(fields, mrkdwn("*"+name+"*\n"+escaped(value, slackField-len(name)-3)))
		}
	}
	switch {
	case n.From != "" && n.To != "":
		add("From → to", n.From+" → "+n.To)
	case n.To != "":
		add("To", n.To)
	default:
		add("From", n.From)
	}
	if !n.Since.IsZero() {
		add("Since", stamp(n.Since))
	}
	add("Why", n.Why)
	add("Evidence", evidence(n))
	add("Held by the gate", n.Gate)
	add("Gates", gateSummary(n.Gates))
	if len(fields) > 0 {
		blocks = append(blocks, slackBlock{Type: "section", Fields: fields})
	}
	if n.Next != "" {
		blocks = append(blocks, section("*Next*\n`"+escaped(strings.ReplaceAll(n.Next, "`", "'"), slackShort)+"`"))
	}
	return blocks
}

func slackMany(notices []failover.Notice) (blocks []slackBlock) {
	for i, n := range notices {
		if i == slackNotices {
			return append(blocks, section(fmt.Sprintf("… and %d more: `reattach status`", len(notices)-i)))
		}
		blocks = append(blocks, section("*"+slackEscape(n.Event)+"* "+escaped(n.Text, slackShort)))
	}
	return blocks
}

// slackFoot is the small print: the runbook, who tells it, and when.
func slackFoot(m Message) string {
	n, parts := leading(m), []string{}
	if link := runbookLink(m.Runbook, n.Event); link != "" && len(link) < slackSection/3 {
		parts = append(parts, "<"+slackEscape(link)+"|Runbook: "+slackEscape(n.Event)+">")
	}
	if n.Observer != "" {
		parts = append(parts, escaped(n.Observer, slackName))
	}
	return strings.Join(append(parts, stamp(n.At)), " · ")
}

func section(text string) slackBlock {
	t := mrkdwn(or(text, "(no text)"))
	return slackBlock{Type: "section", Text: &t}
}

func mrkdwn(text string) slackText { return slackText{Type: "mrkdwn", Text: text, Verbatim: true} }

// slackEscaper replaces what mrkdwn reads as a mention, a link or an entity.
var slackEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// escaped is a text for mrkdwn with at most limit characters, entities counted,
// none of them cut.
func escaped(text string, limit int) string {
	text = clip(text, limit)
	for room := limit; room > 0; room -= 1 + room/16 {
		if e := slackEscape(clip(text, room)); utf16Len(e) <= limit {
			return e
		}
	}
	return ""
}

func slackEscape(text string) string { return slackEscaper.Replace(text) }
