package monitoring

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/reattach/reattach/failover/metrics"
)

// selector is a metric in a query, with what its labels must be.
type selector struct {
	metric   string
	matchers string // as it stands between the braces
}

var (
	word       = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*(\{[^}]*\})?`)
	ofOurs     = regexp.MustCompile(`^([a-z_]+:)?(reattach_|go_|process_)|^up$`)
	matcher    = regexp.MustCompile(`([a-z_]+)\s*(=~|!~|!=|=)\s*"([^"]*)"`)
	histograms = regexp.MustCompile(`_(bucket|sum|count)$`)
)

// selectors finds the metrics of ours, and of every Go program, in a query.
func selectors(expr string) (all []selector) {
	for _, w := range word.FindAllString(expr, -1) {
		name, matchers, _ := strings.Cut(strings.TrimSuffix(w, "}"), "{")
		if ofOurs.MatchString(name) {
			all = append(all, selector{name, matchers})
		}
	}
	return all
}

// wrong says what in a selector the reference and the recording rules do not
// know. Variables of the dashboard may stand for any value.
func (s selector) wrong(recorded []string) error {
	if s.metric == "up" || strings.HasPrefix(s.metric, "go_") || strings.HasPrefix(s.metric, "process_") || slices.Contains(recorded, s.metric) {
		return nil
	}
	m, ok := known(s.metric)
	if !ok {
		return fmt.Errorf("there is no metric %s", s.metric)
	}
	for _, match := range matcher.FindAllStringSubmatch(s.matchers, -1) {
		name, value := match[1], match[3]
		if name == "job" || name == "instance" {
			continue
		}
		i := slices.IndexFunc(m.Labels, func(l metrics.Label) bool { return l.Name == name })
		if i < 0 {
			return fmt.Errorf("%s has no label %s", s.metric, name)
		}
		for alternative := range strings.SplitSeq(value, "|") {
			if values := m.Labels[i].Values; len(values) > 0 && !strings.HasPrefix(alternative, "$") && !slices.Contains(values, alternative) {
				return fmt.Errorf("the label %s of %s is never %q: it is one of %v", name, s.metric, alternative, values)
			}
		}
	}
	return nil
}

// known finds a metric in the reference, by its own name or as a part of a histogram.
func known(name string) (metrics.Metric, bool) {
	for _, m := range metrics.Reference() {
		if m.Name == name && m.Type != "histogram" || m.Type == "histogram" && m.Name == histograms.ReplaceAllString(name, "") && m.Name != name {
			return m, true
		}
	}
	return metrics.Metric{}, false
}
