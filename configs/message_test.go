package configs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/notify"
)

// fieldMeanings says what the fields of a message mean: those of the whole, and
// those of a notice.
var fieldMeanings = [2]map[string]string{
	{
		"version": "1", "matter": "the same for a matter and its end", "over": "the matter is over", "severity": "that of the worst notice",
		"title": "one line", "text": "several lines, as mail shows them", "notices": "oldest first; several in a storm",
	},
	{
		"key": "the same for the same notice told again", "event": "kind of notice", "urgent": "somebody is to be woken", "resource": "empty if it concerns none",
		"text": "what happened", "next": "the command to type", "outage": "the outage that it is a part of", "at": "when it was noticed", "since": "when it began, if that was earlier",
		"from": "endpoint that was, or is to be, left", "to": "endpoint that is, or would be, attached", "why": "what it rests on", "class": "of the last probe",
		"phase": "in which that probe stopped", "code": "the server's own", "gate": "that holds", "gates": "all gates of the decision, with what each says",
		"observer": "who tells it", "lasts": "it goes on until an end is told", "over": "it is such an end", "acked": "acknowledged by a person",
		"severity": "info, warning or critical", "runbook": "link to its entry",
	},
}

// message is the table of what programs and templates get.
func message() (string, error) {
	var out strings.Builder
	out.WriteString("| JSON | template | meaning |\n| --- | --- | --- |\n")
	for i, typ := range []reflect.Type{reflect.TypeFor[notify.Document](), reflect.TypeFor[notify.DocNotice]()} {
		prefix := []string{"", "notices[]."}[i]
		seen := map[string]bool{}
		for _, f := range reflect.VisibleFields(typ) {
			tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if f.Anonymous || tag == "teller" { // who has told it himself hands it on without
				continue
			}
			meaning := fieldMeanings[i][tag]
			if meaning == "" || seen[tag] {
				return "", fmt.Errorf("%s.%s (%q): what does it mean?", typ, f.Name, tag)
			}
			seen[tag] = true
			fmt.Fprintf(&out, "| `%s%s` | `.%s` | %s |\n", prefix, tag, f.Name, meaning)
		}
		if len(seen) != len(fieldMeanings[i]) {
			return "", fmt.Errorf("%s has %d fields, and %d meanings", typ, len(seen), len(fieldMeanings[i]))
		}
	}
	return strings.TrimSpace(out.String()), nil
}

// TestDocumentEnvironment runs a program as a notifier does, and looks for each
// variable that it got in the reference.
func TestDocumentEnvironment(t *testing.T) {
	file := filepath.Join(t.TempDir(), "env")
	e, err := notify.NewExec([]string{"sh", "-c", "cat >/dev/null; env >" + file})
	if err != nil {
		t.Fatal(err)
	}
	n := failover.Notice{Key: "k", Event: "failover", Resource: "orders-db", Text: "text", At: time.Now()}
	if err := e.Send(t.Context(), notify.Message{Matter: "k", Notices: []failover.Notice{n}}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	variable := regexp.MustCompile(`REATTACH_[A-Z]+`)
	var got []string
	for line := range strings.Lines(string(b)) {
		if name, _, _ := strings.Cut(line, "="); variable.FindString(name) == name && name != "" {
			got = append(got, name)
		}
	}
	got = slices.DeleteFunc(got, func(name string) bool { _, ours := os.LookupEnv(name); return ours })
	told := variable.FindAllString(read(t, documentPath), -1)
	slices.Sort(got)
	slices.Sort(told)
	if diff := cmp.Diff(slices.Compact(got), slices.Compact(told)); diff != "" {
		t.Errorf("the reference names other variables than a program gets (-got +told):\n%s", diff)
	}
}
