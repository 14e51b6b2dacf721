package failover

import (
	"fmt"
	"slices"
	"time"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// lookWritable tells of a store of data that was left and takes writes.
func (e *Engine) lookWritable(now time.Time, r *resource) {
	if !r.def.Protocol.Traits.StoreOfData {
		return
	}
	for i := range r.endpoints {
		ep, name := &r.endpoints[i], r.def.Endpoints[i].Name
		mark, tainted := r.mark(name)
		writable, known := ep.facts["writable"].(bool)
		switch {
		case i == r.attached || !tainted:
			ep.writes, ep.base, ep.split = 0, nil, ""
		case ep.learnt == ep.counted || !ep.learnt.After(r.leftAt(mark)): // nothing new, or from before it was left
		case ep.last.Class != probe.OK:
		case known && writable:
			ep.writes++
			e.lookSplit(now, r, i, mark)
		default:
			ep.writes, ep.base = 0, nil
		}
		ep.counted = ep.learnt
		if ep.writes >= 2 && ep.verdict.State == policy.Up {
			e.oldWritable(now, r, i, mark)
		}
	}
	e.endWritable(now, r)
}

func (e *Engine) oldWritable(now time.Time, r *resource, i int, mark Taint) {
	name := r.def.Endpoints[i].Name
	n := Notice{Key: fmt.Sprintf("%s/%d.old_primary_writable.%s", r.def.Name, mark.Epoch, name), Event: "old_primary_writable", Urgent: true, Lasts: true,
		Resource: r.def.Name, At: now, Since: mark.At, From: name, Why: "writable; " + mark.Why, Next: fenceCommand(r, i)}
	if e.active(n.Key) {
		return
	}
	if r.attached >= 0 {
		n.To = r.def.Endpoints[r.attached].Name
	}
	n.Text = fmt.Sprintf("%s: %s answers and takes writes, but %s%s. What is written there may be missing on %s. Fence it now: make it read-only, or stop it. "+
		"If both are meant to take writes, or once it is rebuilt, clear it.", r.def.Name, name, mark.Why, stillOn(r.endpoints[i].facts), n.To)
	e.say(n)
}

// fenceCommand is what a person types to make an endpoint harmless.
func fenceCommand(r *resource, i int) string {
	if harmless := r.def.Protocol.Traits.FenceCommand; harmless != nil {
		return harmless(r.def.Endpoints[i].Target.URL)
	}
	return "reattach status " + r.def.Name
}

// endWritable ends that, and split writes, for endpoints that are cleared,
// read-only, attached or gone.
func (e *Engine) endWritable(now time.Time, r *resource) {
	how := ""
	ended := func(n Notice) bool {
		if n.Event != "old_primary_writable" && n.Event != splitWrites {
			return false
		}
		i := r.def.Endpoint(n.From)
		if i < 0 {
			how = "is not configured any more"
			return true
		}
		_, tainted := r.mark(n.From)
		writable, known := r.endpoints[i].facts["writable"].(bool)
		switch {
		case i == r.attached:
			how = "is attached again"
		case !tainted:
			how = "was cleared"
		case known && !writable && r.endpoints[i].last.Class == probe.OK:
			how = "is read-only now"
			if own, ok := r.endpoints[i].facts["gtid_own"].(string); ok && n.Event == splitWrites {
				how += "; its own log goes to " + own
			}
		default:
			return false
		}
		return true
	}
	for {
		i := slices.IndexFunc(e.notices, func(n Notice) bool { return n.Resource == r.def.Name && ended(n) })
		if i < 0 {
			return
		}
		e.say(e.notices[i].ending(now, fmt.Sprintf("%s: %s %s.", r.def.Name, e.notices[i].From, how)))
	}
}

// mark returns the taint on an endpoint.
func (r *resource) mark(name string) (Taint, bool) {
	for _, t := range r.state.Taints {
		if t.marks(r.def, name) {
			return t, true
		}
	}
	return Taint{}, false
}

// leftAt is when the switch that brought a taint was first seen here; zero if
// that was too long ago to know.
func (r *resource) leftAt(t Taint) time.Time {
	i := slices.IndexFunc(r.state.Recent, func(s Switch) bool { return s.Epoch == t.Epoch })
	if i < 0 {
		return time.Time{}
	}
	return r.switchAt[r.state.Recent[i].Op]
}

// certificateStages are how long before its end a certificate is told of, the
// last one when it has ended.
var certificateStages = []time.Duration{21 * 24 * time.Hour, 7 * 24 * time.Hour, 24 * time.Hour, 0}

// stageOf counts the stages that are passed when so much time is left.
func stageOf(left time.Duration) (n int) {
	for n < len(certificateStages) && left <= certificateStages[n] {
		n++
	}
	return n
}

// lookCertificates tells of certificates that expire soon: under one key, again
// at each stage.
func (e *Engine) lookCertificates(now time.Time, r *resource) {
	for i := range r.endpoints {
		ep := &r.endpoints[i]
		if ep.facts == nil {
			continue
		}
		expiry, stage, key := time.Time{}, 0, ""
		if text, ok := ep.facts["tls_expiry"].(string); ok {
			t, err := time.Parse(time.RFC3339, text)
			if err != nil {
				continue
			}
			expiry, stage = t, stageOf(t.Sub(now))
		} else if ep.last.Class != probe.OK {
			continue // the conversation did not come so far
		}
		if stage > 0 {
			key = fmt.Sprintf("%s/%s.certificate.%s", r.def.Name, r.def.Endpoints[i].Name, expiry.UTC().Format("20060102T150405Z"))
		}
		e.endCertificates(now, r, r.def.Endpoints[i].Name, key, expiry)
		at := slices.IndexFunc(e.notices, func(n Notice) bool { return n.Key == key })
		if stage > 0 && (at < 0 || stageOf(expiry.Sub(e.notices[at].At)) < stage) {
			e.say(certificateNotice(now, r, i, key, expiry, stage))
		}
	}
	gone := func(n Notice) bool { return n.Event == "certificate" && r.def.Endpoint(n.From) < 0 }
	e.overEach(now, r.def.Name, r.def.Name+": that endpoint is not configured any more.", gone)
}

func certificateNotice(now time.Time, r *resource, i int, key string, expiry time.Time, stage int) Notice {
	name, left := r.def.Endpoints[i].Name, expiry.Sub(now)
	n := Notice{Key: key, Event: "certificate", Urgent: stage >= 3, Lasts: true, Resource: r.def.Name, At: now, From: name,
		Why: "it ends at " + expiry.UTC().Format(time.RFC3339), Next: "reattach explain " + r.def.Name}
	switch {
	case left <= 0:
		n.Text = fmt.Sprintf("%s: the certificate of %s has expired, at %s.", r.def.Name, name, clock(now, expiry))
	case left <= 48*time.Hour:
		n.Text = fmt.Sprintf("%s: the certificate of %s expires in %d hours, at %s.", r.def.Name, name, int(left.Hours()), clock(now, expiry))
	default:
		n.Text = fmt.Sprintf("%s: the certificate of %s expires in %d days, at %s.", r.def.Name, name, int(left.Hours()/24), clock(now, expiry))
	}
	n.Text += " Renew it: applications that verify it fail from then on."
	return n
}

// endCertificates ends what was told of an endpoint's other certificates.
func (e *Engine) endCertificates(now time.Time, r *resource, endpoint, key string, expiry time.Time) {
	text := fmt.Sprintf("%s: %s shows no certificate any more.", r.def.Name, endpoint)
	if !expiry.IsZero() {
		text = fmt.Sprintf("%s: the certificate of %s was replaced; it is good until %s.", r.def.Name, endpoint, expiry.UTC().Format("2006-01-02"))
	}
	e.overEach(now, r.def.Name, text, func(n Notice) bool { return n.Event == "certificate" && n.From == endpoint && n.Key != key })
}
