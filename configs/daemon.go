package configs

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/reattach/reattach/probe"
)

// observer reads who we are, and who else watches.
func (l *loader) observer(s *section) {
	o := &l.config.Observer
	where := hcl.Range{}
	if s != nil {
		where = s.place("name")
	}
	get(s, "name", &o.Name)
	get(s, "zone", &o.Zone)
	get(s, "state_dir", &o.StateDir)
	switch {
	case s.has("name"):
		l.name("observer", o.Name, where)
	case o.Name == "" || len(o.Name) > longest || !namePattern.MatchString(o.Name):
		l.errorf(where, `observer { name = "mon-a" }`, "this host's name cannot be the observer's: give it one")
	}
	if o.Zone != "" {
		l.name("zone", o.Zone, s.place("zone"))
	}
	if s.has("state_dir") && o.StateDir == "" {
		l.errorf(s.place("state_dir"), "", "state_dir is empty")
	}
	o.Peers = []Peer{{Name: o.Name}}
	if s.has("peers") {
		shown := o.Name
		if s.has("name") {
			shown = l.say(where, o.Name)
		}
		l.peers(s.attrs["peers"], shown)
	}
}

// key reads the key of a pair, which must be text, and new.
func (l *loader) key(pair hcl.KeyValuePair, ctx *hcl.EvalContext, where string, seen map[string]hcl.Range) (string, bool) {
	v, diags := pair.Key.Value(ctx)
	name, ok := "", false
	if !diags.HasErrors() {
		name, ok = asText(v)
	}
	if !ok {
		l.errorf(pair.Key.Range(), `"production/JDBC_URL" = "…"`, "a key of %s is a text: write it in quotes", where)
		return "", false
	}
	if first, twice := seen[name]; twice {
		l.errorf(pair.Key.Range(), "", "the key %s stands in %s twice, first at %s", l.say(pair.Key.Range(), name), where, position(first))
		return "", false
	}
	seen[name] = pair.Key.Range()
	return name, true
}

// store reads where handles and state are kept.
func (l *loader) store(s *section) {
	if s == nil {
		return
	}
	st := &l.config.Store
	st.Kind = StoreKind(s.labels[0].text)
	if st.Kind == Embedded {
		get(s, "path", &st.Embedded.Path)
		if st.Embedded.Path == "" || strings.HasSuffix(st.Embedded.Path, "/") {
			l.errorf(s.place("path"), `path = "/var/lib/reattach/store.db"`, "path names the store's file, not a directory")
		}
		return
	}
	c := &st.Consul
	get(s, "address", &c.Address)
	get(s, "datacenter", &c.Datacenter)
	get(s, "namespace", &c.Namespace)
	get(s, "partition", &c.Partition)
	c.Token, c.TokenFile = l.token(s)
	tls := s.find("tls")
	c.TLS = tlsOf(tls, TLSFiles{})
	l.certificates(tls, c.TLS)
	l.consulAddress(s, tls)
}

// consulAddress checks where Consul is said to be.
func (l *loader) consulAddress(s, tls *section) {
	c, where := l.config.Store.Consul, s.place("address")
	u, err := url.Parse(c.Address)
	switch {
	case err == nil && u.Scheme == "unix" && u.Path != "":
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		hint := "http://127.0.0.1:8500, https://… or unix:///…"
		if _, _, err := net.SplitHostPort(c.Address); err == nil {
			hint = "did you mean \"http://" + l.say(where, c.Address) + "\"?"
		}
		l.errorf(where, hint, "address is no URL of a Consul agent")
		return
	case u.User != nil:
		l.errorf(where, "", "address holds a user or password: Consul wants a token instead")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "":
		l.errorf(where, "", "address ends with the port: Consul's API begins at its root")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		l.warnf(where, "ask the agent on this machine, or one over https://", "handles, and the passwords in them, travel to Consul in clear")
	}
	if tls != nil && err == nil && u.Scheme != "https" {
		l.errorf(tls.header, "", "tls has no effect: address does not begin with https://")
	}
}

// token reads a token, given as such or by the file that holds it.
func (l *loader) token(s *section) (token probe.Secret, path string) {
	get(s, "token", &token)
	if !get(s, "token_file", &path) {
		if s.has("token") && s.attrs["token"].value != nil && strings.TrimSpace(token.Reveal()) == "" {
			l.warnf(s.place("token"), "", "token is empty")
		}
		return token, ""
	}
	where := s.place("token_file")
	if s.has("token") {
		l.errorf(where, "", "token and token_file say the same: keep one")
		return "", ""
	}
	text, err := l.file(dirOf(where.Filename), path)
	var e callError
	switch {
	case errors.As(err, &e):
		l.errorf(where, e.hint, e.format, l.say(where, path))
	case strings.TrimSpace(text) == "":
		l.errorf(where, "", "the file holds no token")
	}
	l.secret(text)
	return probe.Secret(strings.TrimSpace(text)), path
}

// longestSocket is the longest path that Linux takes for a unix socket.
const longestSocket = 107

// listen reads the daemon's own doors.
func (l *loader) listen(s, store *section) {
	door := &l.config.Listen
	if s != nil {
		get(s, "http", &door.HTTP)
		get(s, "socket", &door.Socket)
		get(s, "pprof", &door.Pprof)
		door.Token, door.TokenFile = l.token(s)
	}
	embedded := l.config.Store.Kind == Embedded
	if door.HTTP == "" {
		if embedded {
			l.errorf(s.place("http"), `http = "127.0.0.1:9778"`, "applications read their handles over listen.http when the store is embedded: it cannot be empty")
		}
		if door.Pprof {
			l.errorf(s.place("pprof"), "", "pprof has no effect: http is empty")
		}
	} else if s != nil {
		l.door(s, embedded)
	}
	switch {
	case door.Socket == "":
		l.errorf(s.place("socket"), "", "the command line needs a socket")
	case len(door.Socket) > longestSocket:
		l.errorf(s.place("socket"), "", "the path of a unix socket has at most %d bytes", longestSocket)
	}
	if s.has("token") && !embedded {
		l.warnf(s.place("token"), "", `token has no effect: it is for readers of store "embedded"`)
	}
}

// door checks the address that others can reach us at.
func (l *loader) door(s *section, embedded bool) {
	door, where := l.config.Listen, s.place("http")
	host, port, err := net.SplitHostPort(door.HTTP)
	if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || n == 0 {
		hint := `"127.0.0.1:9778"`
		if _, bad := strconv.ParseUint(door.HTTP, 10, 16); bad == nil {
			hint = `did you mean "127.0.0.1:` + door.HTTP + `"?`
		}
		l.errorf(where, hint, "http is an address and a port")
		return
	}
	if loopback(host) {
		return
	}
	if embedded && !s.has("token") && !s.has("token_file") {
		l.errorf(where, `listen on 127.0.0.1, or add token = file("/run/secrets/reattach-token") and give it to consul-template`,
			"anyone who reaches this address can read the handles, and the passwords in them")
	}
	if door.Pprof {
		l.warnf(s.place("pprof"), "", "anyone who reaches http can read and slow the daemon by its profiles")
	}
}

// loopback reports whether a host is this machine alone.
func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback() || strings.EqualFold(host, "localhost")
}
