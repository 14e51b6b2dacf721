package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/reattach/reattach/configs"
	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/consul"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

const (
	consulTested = "1.22.7"               // what our tests run against
	slowRead     = 200 * time.Millisecond // of the store, from which on it is told
	skewTold     = 2 * time.Second        // between our clock and Consul's
)

// store looks at the store, and returns what Consul said of itself, if it is Consul.
func (x *examination) store(ctx context.Context, conf *configs.Config, live *liveReport) *consul.Look {
	x.group = groupStore
	if conf.Store.Kind == configs.Embedded {
		x.embedded(conf, live)
		return nil
	}
	address := conf.Store.Consul.Address
	opened, err := openStore(conf, func() probe.Secret { return conf.Store.Consul.Token }, false)
	if err != nil {
		x.fail("see store \"consul\" in the configuration", "the store cannot be used: %v", err)
		return nil
	}
	defer opened.close()
	store, ok := opened.Store.(*consul.Store)
	if !ok {
		return nil
	}
	look, err := store.Look(ctx)
	if err != nil {
		x.fail("is the agent running there (consul members), and do scheme, port and certificates fit? While the store is away, nothing is switched",
			"Consul at %s does not answer: %v", address, err)
		return nil
	}
	x.leader(address, look)
	x.version(look)
	x.rights(ctx, store, conf)
	x.read(ctx, store, conf, live)
	return &look
}

func (x *examination) leader(address string, look consul.Look) {
	if look.Leader == "" {
		x.fail("consul operator raft list-peers; a majority of the servers must see each other", "Consul at %s has no leader: nothing can be written, so nothing is switched", address)
		return
	}
	x.ok("Consul answers at %s, and its leader is %s", address, look.Leader)
	if strings.HasPrefix(address, "http://") && !loopback(strings.TrimPrefix(address, "http://")) {
		x.warn("use https://, as in deployments/consul, or an agent on this machine", "the token and the handles' passwords go to %s unencrypted", address)
	}
}

func (x *examination) version(look consul.Look) {
	switch {
	case look.Version == "":
		x.warn("consul version says it; "+consulTested+" and later are known to work", "Consul does not say which version it is")
	case older(look.Version, consulTested):
		x.warn("upgrade when you can; in earlier versions nobody tried what reattach rests on", "Consul is %s, and the oldest version that reattach was tried with is %s", look.Version, consulTested)
	default:
		x.ok("Consul is %s", look.Version)
	}
}

// older compares versions by their numbers: "1.9.10" is older than "1.22.7".
func older(version, than string) bool {
	a, b := numbers(version), numbers(than)
	for i := range a {
		if a[i] != b[i] {
			return a[i] < b[i]
		}
	}
	return false
}

func numbers(version string) (out [3]int) {
	version, _, _ = strings.Cut(strings.TrimPrefix(version, "v"), "+")
	version, _, _ = strings.Cut(version, "-")
	for i, part := range strings.SplitN(version, ".", 3) {
		out[i], _ = strconv.Atoi(part) // what is no number is 0
	}
	return out
}

// rights asks for each right that reattach uses whether the token has it.
func (x *examination) rights(ctx context.Context, store *consul.Store, conf *configs.Config) {
	rights := []consul.Right{{Key: "", Access: "write-prefix"}, {Key: failover.Prefix, Access: "write-prefix"}}
	rules := []string{"", rule("key_prefix", failover.Prefix)}
	for _, r := range conf.Resources {
		for _, h := range r.Handles {
			rights, rules = append(rights, consul.Right{Key: h.Key, Access: "write"}), append(rules, rule("key", h.Key))
		}
	}
	allowed, err := store.Allowed(ctx, rights)
	switch {
	case errors.Is(err, consul.ErrNoACLs):
		x.warn("turn ACLs on, and give reattach deployments/consul/reattach-policy.hcl", "Consul's ACLs are off: whoever reaches it can change a handle, and read its password")
		return
	case errors.Is(err, failover.ErrDenied):
		x.fail("is it the right token, and was it not deleted? consul acl token read -self", "Consul does not know the token: %v", err)
		return
	case err != nil:
		x.fail("consul acl token read -self", "what the token may do cannot be asked: %v", err)
		return
	}
	var missing []string
	for i := 1; i < len(allowed); i++ {
		if !allowed[i] {
			missing = append(missing, rules[i])
		}
	}
	switch {
	case len(missing) > 0:
		x.fail("add to the token's policy:\n  "+strings.Join(missing, "\n  "), "the token lacks %s that reattach needs", plural(len(missing), "right"))
	case allowed[0]:
		x.warn("give it deployments/consul/reattach-policy.hcl, which is enough", "the token may write every key in Consul")
	default:
		x.ok("the token may do what reattach needs: write below %s, and %s", failover.Prefix, plural(len(rights)-2, "handle"))
	}
}

func rule(kind, key string) string { return fmt.Sprintf("%s %q { policy = \"write\" }", kind, key) }

// read reads a key, as a sweep does each second.
func (x *examination) read(ctx context.Context, store failover.Store, conf *configs.Config, live *liveReport) {
	if len(conf.Resources) == 0 {
		return
	}
	began := time.Now()
	_, err := store.Txn(ctx, []failover.Op{{Verb: failover.Get, Key: conf.Resources[0].Handles[0].Key}})
	took := time.Since(began)
	switch {
	case err != nil && errors.Is(err, failover.ErrDenied) && x.count(levelError) > 0: // said already, with its mending
	case err != nil:
		x.fail("consul kv get shows what Consul says", "a handle cannot be read: %v", err)
	case took > slowRead:
		x.warn("look at the network to the servers and at their disks; without an answer for 2 s reattach is blind, and switches nothing", "a consistent read took %v", took.Round(time.Millisecond))
	default:
		x.ok("a consistent read took %s", rounded(float64(took.Microseconds())/1000))
	}
	if err == nil && live.Store != "" {
		x.fail("reattach check --live says the same", "the store cannot be read: %s", live.Store)
	}
}

func (x *examination) embedded(conf *configs.Config, live *liveReport) {
	switch {
	case live.Store != "":
		x.fail("is the daemon well (reattach status), and is this its user?", "the store's file %s cannot be read: %s", conf.Store.Embedded.Path, live.Store)
	case live.Note != "":
		x.ok("%s: %s", conf.Store.Embedded.Path, live.Note)
	default:
		x.ok("the store's file %s can be read", conf.Store.Embedded.Path)
	}
}

// clocks compares our clock with Consul's.
func (x *examination) clocks(look *consul.Look) {
	x.group = groupClocks
	if look == nil || look.Date.IsZero() {
		return
	}
	// A date has no fractions, and was written somewhere between question and answer.
	skew := look.Asked.Add(look.Latency / 2).Sub(look.Date.Add(time.Second / 2))
	const matters = "no evidence and no vote compares clocks; it is for reading logs and history side by side"
	if skew.Abs() < skewTold {
		x.ok("this clock and Consul's agree to 2 s (%s)", matters)
		return
	}
	word := "behind"
	if skew > 0 {
		word = "ahead of"
	}
	x.warn("let both follow NTP (chronyc tracking); "+matters, "this clock is about %v %s Consul's", skew.Abs().Round(time.Second), word)
}

// handles says what the handles are, in the words of check --live.
func (x *examination) handles(live *liveReport) {
	x.group = groupHandles
	for _, r := range live.Resources {
		if r.Condition == "" {
			continue
		}
		detail := ""
		if r.Detail != "" {
			detail = " (" + r.Detail + ")"
		}
		for _, h := range r.Handles {
			for _, d := range h.Differs {
				detail += "; " + h.Key + ": " + d
			}
		}
		next := conditionNext(r)
		switch {
		case r.needsPerson():
			x.fail(next, "%s: the handles are %s%s", r.Name, r.Condition, detail)
		case r.Condition == policy.Ours.String():
			x.ok("%s: the handles are as reattach wrote them, and name %s", r.Name, r.Attached)
		case r.Condition == policy.Unmanaged.String():
			x.ok("%s: the handles name %s; the daemon will adopt what is there", r.Name, orNone(r.Attached))
		default:
			x.warn(next, "%s: the handles are %s%s", r.Name, r.Condition, detail)
		}
		if !r.Protected && r.Why != "" && !r.needsPerson() && r.Condition != policy.Unmanaged.String() {
			x.warn("reattach explain "+r.Name, "%s is not protected: %s", r.Name, r.Why)
		}
	}
}

func orNone(s string) string {
	if s == "" {
		return "no endpoint"
	}
	return s
}
