package probe

import "fmt"

// Class says what the outcome of a conversation is evidence of.
//
// Only the classes for which [Class.Evidence] is true speak against an
// endpoint. All others mean that somebody answered, or that the fault may be
// the probe's own; a switch would not mend them.
type Class uint8

// The classes, by group. The zero Class is none of them: nothing is known.
const (
	None          Class = iota // no outcome yet
	OK                         // serving: the conversation ended as it should
	Refused                    // hard: the address answers, nobody listens (ECONNREFUSED)
	Unreachable                // hard: nobody answers for that address (EHOSTUNREACH)
	Timeout                    // silent: the deadline passed while connecting or waiting for a reply
	Reset                      // broken: accepted, then closed or reset
	Garbled                    // broken: something answered, but not in this protocol
	Role                       // attached, but not what it is expected to be (read-only)
	Overloaded                 // pressed: too many connections, come back later
	Degraded                   // pressed: serving in part (AMQP blocked, draining)
	Auth                       // ours to mend: the credentials were rejected
	TLS                        // ours to mend: certificate or TLS settings
	Misconfigured              // ours to mend: no such database, vhost or bucket
	NoAddress                  // ours to mend: the name has no address
	Local                      // our own fault: no descriptors, no route, no nameserver
)

// Group collects classes that call for the same reaction.
type Group uint8

// The groups of classes.
const (
	GroupNone    Group = iota
	GroupServing       // evidence of health
	GroupHard          // evidence of failure
	GroupSilent        // evidence of failure
	GroupBroken        // evidence of failure
	GroupRole          // evidence only where the resource says what it expects
	GroupPressed       // alive, and in trouble
	GroupOurs          // alive; a person must mend the configuration
	GroupLocal         // says nothing about the endpoint
)

var classes = [...]struct {
	name  string
	group Group
}{
	None:          {"none", GroupNone},
	OK:            {"ok", GroupServing},
	Refused:       {"refused", GroupHard},
	Unreachable:   {"unreachable", GroupHard},
	Timeout:       {"timeout", GroupSilent},
	Reset:         {"reset", GroupBroken},
	Garbled:       {"protocol", GroupBroken},
	Role:          {"role", GroupRole},
	Overloaded:    {"overloaded", GroupPressed},
	Degraded:      {"degraded", GroupPressed},
	Auth:          {"auth", GroupOurs},
	TLS:           {"tls", GroupOurs},
	Misconfigured: {"misconfigured", GroupOurs},
	NoAddress:     {"resolve", GroupOurs},
	Local:         {"local", GroupLocal},
}

// Classes lists every class but [None], in the order of their groups.
func Classes() []Class {
	all := make([]Class, 0, len(classes)-1)
	for c := OK; int(c) < len(classes); c++ {
		all = append(all, c)
	}
	return all
}

// String returns the name that configuration, metrics and JSON use.
func (c Class) String() string {
	if int(c) < len(classes) {
		return classes[c].name
	}
	return fmt.Sprintf("class(%d)", uint8(c))
}

// Group returns the group that c belongs to.
func (c Class) Group() Group {
	if int(c) < len(classes) {
		return classes[c].group
	}
	return GroupNone
}

// Evidence reports whether c by itself is evidence of failure: the hard, the
// silent and the broken classes are.
func (c Class) Evidence() bool {
	g := c.Group()
	return g == GroupHard || g == GroupSilent || g == GroupBroken
}

// Answered reports whether c proves that somebody who speaks the protocol
// answered. TLS, resolve and local failures prove nothing of the kind.
func (c Class) Answered() bool {
	switch c {
	case OK, Role, Overloaded, Degraded, Auth, Misconfigured:
		return true
	}
	return false
}

// MarshalText encodes c by its name.
func (c Class) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText decodes a name written by MarshalText. It fails on any other.
func (c *Class) UnmarshalText(text []byte) error {
	for i := range classes {
		if classes[i].name == string(text) {
			*c = Class(i)
			return nil
		}
	}
	return fmt.Errorf("unknown class %q", text)
}

// Phase is a part of a conversation. Phases follow one another in the order of
// the constants; a protocol need not have them all.
type Phase uint8

// The phases of a conversation, which are also the depths that a probe may be
// told to go to.
const (
	PhaseNone    Phase = iota
	PhaseResolve       // name to addresses
	PhaseConnect       // TCP handshake
	PhaseTLS           // TLS handshake
	PhaseGreet         // what both say before credentials
	PhaseAuth          // credentials, to the server's answer
	PhasePing          // one round trip of the protocol
	PhaseRole          // what the server is: read-only, replica, version
	PhaseRead          // a read of real data
	PhaseWrite         // a write of a canary
	phaseCount
)

var phases = [...]string{"none", "resolve", "connect", "tls", "greeting", "auth", "ping", "role", "read", "write"}

// Phases lists every phase but [PhaseNone] in the order in which they happen.
func Phases() []Phase {
	all := make([]Phase, 0, phaseCount-1)
	for p := PhaseResolve; p < phaseCount; p++ {
		all = append(all, p)
	}
	return all
}

// String returns the name that metrics and JSON use.
func (p Phase) String() string {
	if int(p) < len(phases) {
		return phases[p]
	}
	return fmt.Sprintf("phase(%d)", uint8(p))
}

// MarshalText encodes p by its name.
func (p Phase) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText decodes a name written by MarshalText. It fails on any other.
func (p *Phase) UnmarshalText(text []byte) error {
	for i, name := range phases {
		if name == string(text) {
			*p = Phase(i)
			return nil
		}
	}
	return fmt.Errorf("unknown phase %q", text)
}

// Kind tells conversations apart that see different things. An endpoint is
// judged by each kind on its own.
type Kind uint8

// The kinds of conversation, from the shallowest to the deepest.
const (
	Session Kind = iota // a ping on a connection that is held open
	Fresh               // a whole conversation, from resolving to goodbye
	Write               // a write of a canary
	KindCount
)

var kinds = [...]string{"session", "fresh", "write"}

// String returns the name that metrics and JSON use.
func (k Kind) String() string {
	if int(k) < len(kinds) {
		return kinds[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// MarshalText encodes k by its name.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText decodes a name written by MarshalText. It fails on any other.
func (k *Kind) UnmarshalText(text []byte) error {
	for i, name := range kinds {
		if name == string(text) {
			*k = Kind(i)
			return nil
		}
	}
	return fmt.Errorf("unknown kind %q", text)
}
