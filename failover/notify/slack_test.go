package notify

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/probe"
)

const hookPath = "/services/T00000000/B00000000/veryverysecret"

// slackRules are the published rules of incoming webhooks and of the blocks that
// are used here.
func slackRules() rule {
	plain := rule{kind: "object", required: []string{"type", "text"}, props: map[string]rule{
		"type": {kind: "text", enum: []string{"plain_text"}}, "text": {kind: "text", max: 150}, "emoji": {kind: "bool"}}}
	mrkdwn := func(limit int) rule {
		return rule{kind: "object", required: []string{"type", "text"}, props: map[string]rule{
			"type": {kind: "text", enum: []string{"mrkdwn"}}, "text": {kind: "text", max: limit}, "verbatim": {kind: "bool"}}}
	}
	field, element := mrkdwn(2000), mrkdwn(3000)
	block := rule{byType: map[string]rule{
		"header": {kind: "object", required: []string{"text"}, props: map[string]rule{"type": {kind: "text"}, "text": plain}},
		"section": {kind: "object", props: map[string]rule{"type": {kind: "text"}, "text": mrkdwn(3000),
			"fields": {kind: "array", max: 10, items: &field}}},
		"context": {kind: "object", required: []string{"elements"}, props: map[string]rule{"type": {kind: "text"},
			"elements": {kind: "array", max: 10, items: &element}}},
	}}
	return rule{kind: "object", required: []string{"text"}, props: map[string]rule{
		"text":   {kind: "text", max: 4000},
		"blocks": {kind: "array", max: 50, items: &block},
		"attachments": {kind: "array", max: 100, items: &rule{kind: "object", required: []string{"blocks"}, props: map[string]rule{
			"color": {kind: "text", exact: 7}, "blocks": {kind: "array", max: 50, items: &block}}}},
	}}
}

func newHook(t *testing.T) (*service, *Slack) {
	t.Helper()
	s := newService(t, slackRules(),
		func(w http.ResponseWriter) { _, _ = io.WriteString(w, "ok") },
		func(w http.ResponseWriter, wrong []string) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, "invalid_blocks: "+strings.Join(wrong, "; "))
		})
	hook, err := NewSlack(SlackOptions{URL: probe.Secret(s.URL + hookPath)})
	if err != nil {
		t.Fatal(err)
	}
	return s, hook
}

// TestSlackStory shows what the channel reads of one outage, and of a storm.
func TestSlackStory(t *testing.T) {
	s, hook := newHook(t)
	for i, name := range []string{"held", "failover", "recovered"} {
		mustSend(t, hook, message(outage()[i]))
		golden(t, "slack/"+name+".json", s.last(t))
	}
	mustSend(t, hook, manyOutages(30))
	golden(t, "slack/storm.json", s.last(t))
}

// TestSlackTakesOdd: whatever a notice holds, Slack's rules are kept, nobody is
// mentioned, and no link leads elsewhere.
func TestSlackTakesOdd(t *testing.T) {
	s, hook := newHook(t)
	for name, m := range odd() {
		if err := send(t, hook, m); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, body := range s.bodies {
		var v any
		if err := json.Unmarshal([]byte(body), &v); err != nil {
			t.Fatal(err)
		}
		for _, text := range markup(v) {
			rest := strings.ReplaceAll(text, "<"+runbookPage+"#failover|Runbook: failover>", "")
			if command, ok := strings.CutPrefix(text, "*Next*\n"); ok && strings.Count(command, "`") != 2 {
				t.Errorf("the command is not one piece of code: %.200q", text)
			}
			if strings.ContainsAny(rest, "<>") || loose.MatchString(rest) {
				t.Errorf("not escaped: %.200q", text)
			}
		}
	}
}

// loose is an ampersand that begins no entity.
var loose = regexp.MustCompile(`&(?:$|[^agl]|a[^m]|[gl][^t])`)

// markup returns all texts that Slack reads as mrkdwn.
func markup(v any) (all []string) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			all = append(all, markup(item)...)
		}
	case map[string]any:
		if text, ok := v["text"].(string); ok && v["type"] != "plain_text" {
			all = append(all, text)
		}
		for _, item := range v {
			all = append(all, markup(item)...)
		}
	}
	return all
}

// TestSlackRefuses: the documented errors, and which of them are tried again.
func TestSlackRefuses(t *testing.T) {
	s, hook := newHook(t)
	for _, c := range []struct {
		status    int
		text      string
		permanent bool
	}{
		{400, "invalid_payload", true}, {403, "action_prohibited", true}, {404, "no_service", true}, {410, "channel_is_archived", true},
		{429, "rate_limited", false}, {500, "rollup_error", false}, {503, "", false},
	} {
		s.answer(c.status, c.text+" "+hookPath, "Retry-After", "30")
		err := send(t, hook, message(outage()[1]))
		if err == nil || IsPermanent(err) != c.permanent || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%d: %v", c.status, err)
		}
		noSecret(t, err, "veryverysecret", s.URL)
		var wait interface{ RetryAfter() time.Duration }
		if !errors.As(err, &wait) || wait.RetryAfter() != 30*time.Second {
			t.Errorf("%d: the wait is lost: %v", c.status, err)
		}
	}
	s.Close()
	err := send(t, hook, message(outage()[1]))
	if err == nil || IsPermanent(err) {
		t.Errorf("nobody there: %v", err)
	}
	noSecret(t, err, "veryverysecret")
}

func TestSlackOptions(t *testing.T) {
	for _, u := range []probe.Secret{"", "veryverysecret", "ftp://veryverysecret/x", "https://", "http://a\x7f/veryverysecret"} {
		_, err := NewSlack(SlackOptions{URL: u})
		if err == nil {
			t.Errorf("%q is taken", u.Reveal())
		}
		noSecret(t, err, "veryverysecret")
	}
}

// TestClip: a text is cut between characters, however they are counted.
func TestClip(t *testing.T) {
	for _, c := range []struct {
		in    string
		limit int
		want  string
	}{
		{"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"", 3, ""}, {"äöüß", 3, "äö…"}, {"\U0001F600\U0001F600", 4, "\U0001F600\U0001F600"},
		{"\U0001F600\U0001F600", 3, "\U0001F600…"}, {"a\x00b\tc\nd", 9, "a b c\nd"}, {"\xff", 3, "\uFFFD"}, {"abc", 0, "…"},
	} {
		if got := clip(c.in, c.limit); got != c.want {
			t.Errorf("%q to %d: %q, not %q", c.in, c.limit, got, c.want)
		}
	}
	if got := escaped("a&b&c", 10); got != "a&amp;b…" {
		t.Errorf("%q", got)
	}
}
