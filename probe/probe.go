// Package probe holds what a probe is: one conversation with an endpoint, in
// the endpoint's own protocol, that yields a [Result] with a [Class].
//
// The rooms below it (mysql, amqp, smtp, memcached) each speak one protocol
// whole: greeting, TLS, authentication, a round trip, a clean goodbye. What
// they share is here: the dial and its clocks ([Conn]), the classes, the URL
// that masks its secrets, and the loop that probes one endpoint for as long as
// the daemon lives ([Loop]).
//
// Three promises hold for every prober. It obeys the deadline of its context.
// It reads no more than [ReadLimit] bytes for one reply, whatever a length
// field says. It says goodbye as its protocol wants it, so that a server
// neither counts nor logs it as a fault.
package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"
)

// Prober speaks one protocol.
type Prober interface {
	// Open has one conversation with t.Addr up to t.Depth and leaves it open.
	// When the Result is not OK, the conversation has been ended and the
	// Session is nil. The deadline of ctx bounds all of it.
	Open(ctx context.Context, t Target) (Held, Result)
}

// Held is an authenticated conversation that stays open. It is used by one
// goroutine at a time.
type Held interface {
	// Ping makes one round trip.
	Ping(ctx context.Context) Result
	// Wait blocks until ctx is done (its Result is OK), or until the server
	// closes or says something that nobody asked for. It sends nothing, except
	// what the protocol demands to keep a connection alive.
	Wait(ctx context.Context) Result
	// Close says goodbye and closes the connection. It may be called after a
	// failure, when it only closes.
	Close(ctx context.Context)
}

// Target is an endpoint as a prober needs it.
type Target struct {
	URL  URL
	Addr netip.AddrPort // what to dial: one of the addresses of URL.Host
	// Username and Passwords override the URL's; while one is being rotated, the
	// passwords are tried in order, but the one that Memory knows first. Memory
	// may be nil.
	Username  string
	Passwords []Secret
	Memory    *Memory
	TLS       TLSConfig
	// Timeout bounds one conversation, or one ping.
	Timeout time.Duration
	// Depth is the last phase that is wanted; PhaseNone means the protocol's
	// deepest that leaves no trace on the server.
	Depth Phase
	// Wanted names the facts that somebody relies on, as "queue(orders)". What has
	// a price on the server, or takes an argument, is learnt only if it is wanted.
	Wanted []string
	// Table is what a conversation of depth write writes its row to, where the
	// protocol has tables: DATABASE.TABLE. Empty: nothing is written.
	Table string
	// Client is how the probe names itself to the server: "reattach mon-a".
	Client string
	// Idle is how long a held session may be silent without the server closing it.
	Idle time.Duration
}

// Credentials returns the user, and the passwords to try in their order.
// There is at least one password, which may be empty.
func (t Target) Credentials() (user string, passwords []Secret) {
	user, passwords = t.URL.User, []Secret{t.URL.Password}
	if t.Username != "" {
		user = t.Username
	}
	if len(t.Passwords) > 0 {
		passwords = t.Passwords
	}
	return user, t.Memory.order(passwords)
}

// Took notes that the server took a password: the next conversation tries it first.
func (t Target) Took(password Secret) { t.Memory.took(password) }

// TLSMode says how much TLS a conversation wants.
type TLSMode uint8

// The modes, from none to a verified certificate.
const (
	TLSDefault TLSMode = iota // what the scheme stands for
	TLSOff
	TLSPrefer  // encrypt where the server offers it, verify nothing
	TLSRequire // encrypt, verify nothing
	TLSVerify  // encrypt and verify chain and name
)

var tlsModes = [...]string{"default", "off", "prefer", "require", "verify"}

// String returns the word that the configuration uses.
func (m TLSMode) String() string { return tlsModes[m] }

// ParseTLSMode reads off, prefer, require or verify.
func ParseTLSMode(s string) (TLSMode, error) {
	for i, name := range tlsModes {
		if name == s && i > 0 {
			return TLSMode(i), nil
		}
	}
	return 0, fmt.Errorf("unknown TLS mode %q: off, prefer, require or verify", s)
}

// TLSConfig says how to encrypt a conversation. Files are in PEM and are read
// for each conversation, so that a renewed certificate needs no restart.
type TLSConfig struct {
	Mode       TLSMode
	CAFile     string // roots to trust; empty means the system's
	CertFile   string // client certificate
	KeyFile    string // and its key
	ServerName string // name to expect; empty means the URL's host
}

// Client builds the crypto/tls configuration for a conversation with host.
// Errors speak of the files; they are of class TLS.
func (c TLSConfig) Client(host string, mode TLSMode) (*tls.Config, error) {
	conf := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12, InsecureSkipVerify: mode != TLSVerify}
	if c.ServerName != "" {
		conf.ServerName = c.ServerName
	}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, Failure{Class: TLS, Text: fmt.Sprintf("ca_file: %v", err)}
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, Failure{Class: TLS, Text: fmt.Sprintf("ca_file %s holds no certificate", c.CAFile)}
		}
	}
	if c.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, Failure{Class: TLS, Text: fmt.Sprintf("cert_file: %v", err)}
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf, nil
}

// Protocol is what the rest of the program knows of a room: what it is called,
// how to speak it, and how its services are best watched.
type Protocol struct {
	Name    string   // the room: "mysql"
	Schemes []Scheme // the URL schemes it serves
	Prober  Prober
	// Holds says that a session can be held open and pinged.
	Holds bool
	// Canary is the depth of a throwaway conversation that is had at a slow pace
	// and sees what the others cannot: that writers are kept back. PhaseNone means
	// that there is none.
	Canary Phase
	// Writes says that depth write is a row in a table that a person names, and so
	// only for the attached endpoint: a standby would have a row that its source
	// has not.
	Writes bool
	// Depths lists the depths beyond role that the protocol has: read, write.
	Depths   []Phase
	Defaults Defaults
	Traits   Traits
	// Facts names the facts that a conversation may learn.
	Facts []Fact
	// Grant returns what a person types on the server to give the target's account
	// the privilege that the facts name as missing_privilege, or says in a
	// sentence what to do. Nil where no privilege is ever missing.
	Grant func(Target, Facts) string
	// Check refuses URLs that the protocol cannot be probed with, with a hint.
	// It never quotes a secret. May be nil.
	Check func(URL) error
}

// Scheme is one URL scheme of a protocol.
type Scheme struct {
	Name string
	Port string  // default port
	TLS  TLSMode // what TLSDefault means here
}

// Scheme returns the scheme of that name.
func (p Protocol) Scheme(name string) (Scheme, bool) {
	for _, s := range p.Schemes {
		if s.Name == name {
			return s, true
		}
	}
	return Scheme{}, false
}

// Defaults are the times that suit a protocol, because of how its servers
// behave and how supervisors restart them.
type Defaults struct {
	Interval, FreshInterval, Timeout, SuspectInterval, Sustain time.Duration
	// TimeoutFloor is the least sensible timeout; RestartTime is how long a
	// supervised restart takes, which sustain should outlast.
	TimeoutFloor, RestartTime time.Duration
	// CanaryInterval is the time between two canaries.
	CanaryInterval time.Duration
}

// Traits say what a departure from such a service means.
type Traits struct {
	StoreOfData bool // it holds the only copy of data: nothing is created or lost lightly
	Taints      bool // an endpoint that was left may have missed writes
	LeftWork    bool // an endpoint that was left may hold messages that nobody reads
	// LeftWorkCommand returns the command that lists, on the server, what was
	// left at an endpoint. Nil without LeftWork.
	LeftWorkCommand func(URL) string
	// FenceCommand returns the command that makes a server that was left harmless:
	// it takes no writes any more. Nil: there is none.
	FenceCommand func(URL) string
	// RestartClears says that a restart empties it, and so ends a taint (a cache).
	RestartClears bool
}

// Fact documents a fact of a protocol.
type Fact struct {
	Name    string // with an argument: "queue(NAME)"
	Type    string // bool, int64, float64 or string
	Meaning string
	// Phase is how deep a conversation must go to learn it; PhaseNone stands for
	// PhaseRole.
	Phase Phase
	// Privileged says that the account needs a privilege for it. Where that is
	// missing, the fact missing_privilege names it.
	Privileged bool
	// Dies says that a replica shows it only while its source lives: once the
	// attached endpoint is dead, no standby shows it any more.
	Dies bool
}

// Depth returns how deep a conversation must go to learn the fact.
func (f Fact) Depth() Phase {
	if f.Phase == PhaseNone {
		return PhaseRole
	}
	return f.Phase
}

// Resolve returns the addresses of host. An address resolves to itself.
// The error is of class Resolve when a nameserver said that there is none, and
// Local when no nameserver answered.
func Resolve(ctx context.Context, host, port string) ([]netip.AddrPort, error) {
	num, err := net.DefaultResolver.LookupPort(ctx, "tcp", port)
	if err != nil {
		return nil, Failure{Class: Misconfigured, Phase: PhaseResolve, Text: "no such port: " + port}
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.AddrPort{netip.AddrPortFrom(ip, uint16(num))}, nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		f := classify(ctx, err)
		if f.Class == Timeout { // it is the nameserver that was silent, not the endpoint
			f.Class = Local
		}
		f.Phase = PhaseResolve
		return nil, f
	}
	out := make([]netip.AddrPort, len(ips))
	for i, ip := range ips {
		out[i] = netip.AddrPortFrom(ip.Unmap(), uint16(num))
	}
	return out, nil
}

// errNoAddress is what a name without addresses comes to.
var errNoAddress = errors.New("the name has no address")

// Open resolves the target's name anew and has a conversation with its
// addresses in turn, until one is OK: an endpoint is up if any of them is. Each
// address has an equal share of what is left of t.Timeout.
func Open(ctx context.Context, p Protocol, t Target) (Held, Result) {
	ctx, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	began := time.Now()
	scheme, _ := p.Scheme(t.URL.Scheme)
	if t.TLS.Mode == TLSDefault {
		t.TLS.Mode = scheme.TLS
	}
	port := t.URL.Port
	if port == "" {
		port = scheme.Port
	}
	addrs, err := Resolve(ctx, t.URL.Host, port)
	resolved := time.Since(began)
	if err == nil && len(addrs) == 0 {
		err = Failure{Class: NoAddress, Phase: PhaseResolve, Text: errNoAddress.Error()}
	}
	if err != nil {
		f := classify(ctx, err)
		return nil, Result{Kind: Fresh, Class: f.Class, Phase: PhaseResolve, Code: f.Code, Err: f.Text, Began: began, Ended: time.Now(),
			Timings: Timings{PhaseResolve: resolved}}
	}
	var held Held
	var r Result
	for i, addr := range addrs {
		t.Addr = addr
		h, got := openAddr(ctx, p.Prober, t, len(addrs)-i)
		if i == 0 || weight(got.Class) > weight(r.Class) {
			held, r = h, got
		}
		if r.Class == OK {
			break
		}
	}
	r.Kind, r.Began, r.Ended = Fresh, began, time.Now()
	r.Timings[PhaseResolve] = resolved
	r.Addrs = make([]string, len(addrs))
	for i, a := range addrs {
		r.Addrs[i] = a.String()
	}
	return held, r
}

// weight orders what several addresses of one name came to: the endpoint is as
// well as its best address. One that this host cannot reach by its own fault,
// as version 6 where there is no route for it, says nothing beside another.
func weight(c Class) int {
	switch {
	case c == OK:
		return 4
	case c.Answered():
		return 3
	case c == Local || c == None:
		return 0
	case c.Evidence():
		return 1
	}
	return 2
}

// openAddr gives one of n remaining addresses its share of the time.
func openAddr(ctx context.Context, p Prober, t Target, n int) (Held, Result) {
	deadline, ok := ctx.Deadline()
	if ok && n > 1 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(n))
		defer cancel()
	}
	held, r := p.Open(ctx, t)
	r.Addr = t.Addr.String()
	return held, r
}

// goodbyeTime bounds the farewell of a conversation whose result is known.
const goodbyeTime = time.Second

// Once has one whole fresh conversation, goodbye included.
func Once(ctx context.Context, p Protocol, t Target) Result {
	t.Idle = 0 // it is over before it can be silent
	held, r := Open(ctx, p, t)
	if held != nil {
		goodbye(ctx, held)
	}
	return r
}

// goodbye closes a conversation even when ctx has ended: leaving without a
// word is what servers log and count.
func goodbye(ctx context.Context, held Held) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbyeTime)
	defer cancel()
	held.Close(ctx)
}
