package notify

import (
	"time"

	"github.com/reattach/reattach/failover"
)

// Document is a message as programs get it: a webhook's JSON body, and an exec's
// standard input. Fields are added, never changed, while Version is 1.
type Document struct {
	Version  int         `json:"version"`  // 1
	Matter   string      `json:"matter"`   // the same for a matter and its end
	Over     bool        `json:"over"`     // the matter is over
	Severity string      `json:"severity"` // of the worst notice: info, warning, critical
	Title    string      `json:"title"`    // one line
	Text     string      `json:"text"`     // several lines
	Notices  []DocNotice `json:"notices"`  // oldest first; never empty
}

// DocNotice is one notice in a [Document].
type DocNotice struct {
	failover.Notice
	Severity string `json:"severity"`
	Runbook  string `json:"runbook,omitempty"` // its entry
}

// document makes a message what programs get.
func document(m Message) Document {
	d := Document{Version: 1, Matter: m.Matter, Over: m.Over, Severity: worst(m).String(), Title: Title(m), Text: Text(m)}
	for _, n := range m.Notices {
		n.At, n.Since = n.At.UTC(), utc(n.Since)
		d.Notices = append(d.Notices, DocNotice{Notice: n, Severity: n.Severity().String(), Runbook: runbookLink(m.Runbook, n.Event)})
	}
	return d
}

// utc leaves the zero time what it is, so that it is left out.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC()
}
