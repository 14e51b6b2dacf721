package configs

import (
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// peers reads every observer's address, pair by pair. Shown is our own name,
// if it can be shown.
func (l *loader) peers(a *attr, shown string) {
	o := &l.config.Observer
	pairs, diags := hcl.ExprMap(a.expr)
	if diags.HasErrors() {
		l.errorf(a.expr.Range(), `peers = { "mon-a" = "http://10.0.1.5:9778" }`, "peers is a map of names to URLs, written out")
		return
	}
	var peers []Peer
	seen := map[string]hcl.Range{}
	for _, pair := range pairs {
		name, ok := l.key(pair, a.ctx, "peers", seen)
		if !ok || !l.name("observer", name, pair.Key.Range()) {
			continue
		}
		v, ok := l.eval(pair.Value, a.ctx)
		if !ok {
			continue
		}
		s, ok := asText(v)
		if u, err := url.Parse(s); !ok || err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			l.errorf(pair.Value.Range(), `"http://10.0.1.5:9778"`, "a peer is the http:// or https:// URL of its API")
			continue
		}
		if slices.ContainsFunc(peers, func(p Peer) bool { return strings.TrimRight(p.URL, "/") == strings.TrimRight(s, "/") }) {
			l.errorf(pair.Value.Range(), "", "another observer has that URL: each one has his own")
		}
		peers = append(peers, Peer{Name: name, URL: s})
	}
	if _, own := seen[o.Name]; !own && len(pairs) > 0 {
		var names []string
		for _, p := range peers {
			names = append(names, p.Name)
		}
		l.errorf(a.at, didYouMean(shown, names), "peers lists every observer, but not this one, %s", shown)
	}
	if len(pairs) > 1 && len(pairs)%2 == 0 {
		l.warnf(a.at, "three survive the loss of one; two survive none", "an even number of observers is no better than one less: a majority of %d is %d", len(pairs), len(pairs)/2+1)
	}
	if len(peers) > 0 {
		o.Peers = peers
	}
}

// fleet checks what several observers need: a store that all of them see, a door
// that the others can reach, and a zone, by which it is told who fails together.
func (l *loader) fleet(observer, store, listen *section) {
	o, door := &l.config.Observer, l.config.Listen.HTTP
	if len(o.Peers) < 2 {
		return
	}
	at := observer.attrs["peers"].at
	if l.config.Store.Kind == Embedded {
		l.errorf(store.header, `store "consul" for several; or leave out peers`, `store "embedded" is a file on this machine, and the other observers do not see it: it is for one`)
	}
	if !observer.has("zone") {
		l.warnf(at, `zone = "az-1": the rack, room or availability zone that this host is in`, "without a zone of its own this observer does not help to confirm that many resources fail at once")
	}
	host, _, err := net.SplitHostPort(door)
	switch {
	case door == "":
		l.errorf(listen.place("http"), `http = "10.0.1.5:9778"`, "the other observers ask at listen.http how this one is: it cannot be empty")
	case err == nil && loopback(host) && !o.near():
		where := at
		if listen.has("http") {
			where = listen.place("http")
		}
		l.warnf(where, `listen { http = "10.0.1.5:9778" }`, "listen.http is %s: the other observers, who are on other hosts, cannot reach it, and take this one for gone", door)
	}
}

// near reports whether all observers run on this host.
func (o *Observer) near() bool {
	return !slices.ContainsFunc(o.Peers, func(p Peer) bool {
		u, err := url.Parse(p.URL)
		return err != nil || !loopback(u.Hostname())
	})
}
