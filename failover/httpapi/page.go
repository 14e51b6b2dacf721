package httpapi

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/probe"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// pageData is what the page shows: words only, no decisions in the template.
type pageData struct {
	Title, Observer, Zone, Version, AsOf string
	Banner                               []string
	Total, Protected, Alarms, Watches    int
	Resources                            []pageResource
	Notices                              []pageNotice
	Observers                            []ObserverLine
	Troubles                             []Trouble // of those who are to be told
	HasMetrics, HasEvents                bool
}

// ObserversLevel is that of the observer who is worst.
func (p pageData) ObserversLevel() (worst Attention) {
	for _, o := range p.Observers {
		worst = max(worst, o.Level)
	}
	return worst
}

type pageResource struct {
	failover.ResourceStatus
	Level, Verdict, Age, Hold, Held, Outage, Next string
	Rows                                          []pageEndpoint
}

type pageEndpoint struct {
	Name, URL, State, For, Latency, Last, Error, Version string
	Attached                                             bool
	Marks                                                []string
}

// pageNotices is how many notices the page shows.
const pageNotices = 8

type pageNotice struct {
	failover.Notice
	Age string
}

func (a API) page(w http.ResponseWriter, r *http.Request) {
	status, err := a.Reader.Status(r.Context())
	if err != nil {
		a.fail(w, err)
		return
	}
	data := newPage(status)
	data.HasMetrics, data.HasEvents = a.Metrics != nil, a.Events != nil
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, data); err != nil {
		a.Log.Error("rendering the status page", "error", err)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	w.Header().Set("Referrer-Policy", "no-referrer")
	_, _ = w.Write(b.Bytes())
}

func newPage(s failover.Status) pageData {
	p := pageData{Observer: s.Observer, Zone: s.Zone, Version: s.Version, AsOf: s.AsOf.UTC().Format("2006-01-02 15:04:05 UTC"), Total: len(s.Resources)}
	if s.Blind != "" {
		p.Banner = append(p.Banner, "This observer cannot judge, and will not act: "+s.Blind+". What follows is from memory.")
	}
	if s.Paused != "" {
		p.Banner = append(p.Banner, "Everything is paused "+s.Paused+".")
	}
	next, rest := Notices(s)
	for _, r := range s.Resources {
		level := AttentionOf(r)
		switch level {
		case Alarm:
			p.Alarms++
		case Watch:
			p.Watches++
		}
		if r.Protected {
			p.Protected++
		}
		p.Resources = append(p.Resources, newPageResource(r, level, s.AsOf))
		p.Resources[len(p.Resources)-1].Next = next[r.Name]
	}
	for _, n := range rest[:min(len(rest), pageNotices)] {
		p.Notices = append(p.Notices, pageNotice{n, Age(s.AsOf.Sub(n.At))})
	}
	p.Observers, p.Troubles = Observers(s), Troubles(s)
	p.Title = title(p)
	return p
}

// title is what a browser's tab shows: the worst first.
func title(p pageData) string {
	switch {
	case p.Alarms > 0 || len(p.Troubles) > 0 && p.Troubles[0].Level == Alarm:
		return "▲ reattach"
	case p.Watches > 0 || len(p.Banner) > 0 || len(p.Troubles) > 0:
		return "△ reattach"
	}
	return "reattach"
}

func newPageResource(r failover.ResourceStatus, level Attention, now time.Time) pageResource {
	p := pageResource{ResourceStatus: r, Level: level.String(), Verdict: "not protected"}
	if r.Protected {
		p.Verdict = "protected"
	}
	if r.Since != nil {
		p.Age = Age(now.Sub(*r.Since))
	}
	if r.Hold != nil {
		p.Hold, p.Held = r.Hold.Kind.String()+" held by "+r.Hold.Gate+": "+r.Hold.Why, Age(now.Sub(r.Hold.Since))
	}
	if r.Outage != nil {
		p.Outage = Age(now.Sub(r.Outage.Since))
	}
	for _, e := range r.Endpoints {
		p.Rows = append(p.Rows, newPageEndpoint(e, now))
	}
	return p
}

func newPageEndpoint(e failover.EndpointStatus, now time.Time) pageEndpoint {
	p := pageEndpoint{Name: e.Name, URL: e.URL.String(), State: e.State.String(), Attached: e.Attached}
	if !e.Since.IsZero() {
		p.For = Age(now.Sub(e.Since))
	}
	if e.LatencyS > 0 {
		p.Latency = Millis(time.Duration(e.LatencyS * float64(time.Second)))
	}
	p.Version, _ = e.Facts["version"].(string)
	if e.Class != probe.OK && e.Class != probe.None {
		p.Last = strings.TrimSpace(e.Class.String() + " " + e.Code)
		p.Error = strings.TrimSpace(strings.TrimPrefix(e.Err, e.Code))
	}
	if e.Tainted != "" {
		p.Marks = append(p.Marks, "tainted: "+e.Tainted)
	}
	if e.Drained != "" {
		p.Marks = append(p.Marks, "drained "+e.Drained)
	}
	return p
}
