package failover_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// plot is a story that is being made up: what happens in it is drawn from a seed.
type plot struct {
	*rand.Rand
	lines     []string
	resources []string
	endpoints map[string][]string
	settings  map[string]string
	rewinds   bool // a story has rewound stores or strays: together they may break what a restored snapshot voids
	purposes  []string
	stepped   []string // resources with steps
}

func (p *plot) pick(of ...string) string { return of[p.IntN(len(of))] }

func (p *plot) tell(after, format string, args ...any) {
	p.lines = append(p.lines, "+"+after+" "+fmt.Sprintf(format, args...))
}

// madeUp is the story of a seed.
func madeUp(seed uint64) []string {
	p := &plot{Rand: rand.New(rand.NewPCG(seed, 7)), endpoints: map[string][]string{}, settings: map[string]string{}}
	p.rewinds = p.IntN(4) == 0
	p.purposes = []string{"read", "open", "open", "commit", "commit", "commit", "close", "resolve", "confirm", "adopt", "state", "control", "sweep", "claim", "step", "step", "after"}
	for i := range []int{1, 1, 1, 2, 2, 3, 4}[p.IntN(7)] {
		p.resource(fmt.Sprintf("r%d", i))
	}
	if p.rewinds && p.IntN(2) == 0 {
		p.lines = append(p.lines, "+0s snapshot") // perhaps of a store that holds nothing of ours
	}
	for range 3 + p.IntN(22) {
		p.happens()
	}
	return p.lines
}

func (p *plot) resource(name string) {
	p.resources = append(p.resources, name)
	p.endpoints[name] = []string{"a", "b", "c"}[:2+p.IntN(2)]
	set := "sustain=" + p.pick("50ms", "1s", "1s", "2s", "5s")
	if p.IntN(3) == 0 {
		set += " " + p.pick("bootstrap=true", "failback=auto", "mode=observe", "cache=1", "queue=1", "also=auth", "expect=writable")
	}
	if p.IntN(4) == 0 {
		set += " handles=2" + p.pick("", " same=1")
	}
	if p.IntN(3) == 0 {
		set += p.pick(" promote=3s", " promote=3s abort=3s", " fence=3s promote=3s abort=3s after=3s", " fence=3s", " fence=3s promote=3s proceed=1", " after=3s")
		p.stepped = append(p.stepped, name)
	}
	p.settings[name] = set
	p.lines = append(p.lines, "resource "+name+" "+strings.Join(p.endpoints[name], " ")+" "+set)
	if p.IntN(10) > 0 {
		p.writeAll(name, "a")
	}
}

// writeAll is a person who leads all handles of a resource to an endpoint.
func (p *plot) writeAll(name, endpoint string) {
	p.tell("0s", "write app/%s/URL0 %s", name, endpoint)
	if strings.Contains(p.settings[name], "handles=2") {
		p.tell("0s", "write app/%s/URL1 %s", name, endpoint)
	}
}

func (p *plot) after() string {
	return p.pick("0s", "0s", "1ms", "2ms", "3ms", "50ms", "100ms", "300ms", "1s", "1s", "2s", "3s", "5s", "8s", "12s", "35s")
}

// happens draws one thing that happens.
func (p *plot) happens() {
	name := p.pick(p.resources...)
	endpoint := p.pick(p.endpoints[name]...)
	if p.rewinds && p.IntN(6) == 0 {
		p.tell(p.after(), "%s", p.pick("snapshot", "rewind", "rewind"))
	}
	if len(p.stepped) > 0 && p.IntN(8) == 0 {
		p.tell(p.after(), "step %s %s %s %s", p.pick(p.stepped...), p.pick("fence", "promote", "promote", "abort", "after"), p.pick("ok", "ok", "fail"), p.pick("5ms", "500ms", "2s", "2999ms", "9s"))
	}
	switch p.IntN(25) {
	case 24:
		p.flaps(name)
	case 20, 21, 22, 23:
		p.scene(name, endpoint)
	case 0, 1, 2, 3:
		p.tell(p.after(), "%s/%s %s", name, endpoint, p.pick("refused", "refused", "refused", "timeout", "unreachable", "reset", "protocol", "auth", "tls", "overloaded", "degraded", "misconfigured", "resolve", "local", "role"))
	case 4, 5:
		p.tell(p.after(), "%s/%s ok", name, endpoint)
	case 6, 7, 8:
		p.tell(p.after(), "%s", p.fate())
	case 9:
		p.tell(p.after(), "store down")
		p.tell(p.pick("100ms", "1s", "1.9s", "2.1s", "5s", "20s"), "store up")
	case 10, 11, 12, 13:
		p.tell(p.after(), "%s", p.order(name))
	case 14, 15:
		p.tell(p.after(), "%s", p.hand(name, endpoint))
	case 16:
		p.tell(p.after(), "%s", p.pick("restart", "kill", "kill", "stand-still 1.2s", "stand-still 3s", "stand-still 30s"))
	case 17:
		p.tell(p.after(), "%s", p.pick("lag 0s", "lag 500ms", "lag 3s", "deny "+p.pick(p.purposes...), "allow", "allow"))
	case 18:
		p.reload(name)
	case 19:
		p.rare(name, endpoint)
	}
}

// scene is a switch that is wanted, with one or two things that go wrong in it.
func (p *plot) scene(name, endpoint string) {
	for range 1 + p.IntN(2) {
		p.tell("0s", "%s", p.fate())
	}
	switch p.IntN(4) {
	case 0:
		p.tell(p.after(), "order switchover %s to=%s force=taint", name, endpoint)
	case 1:
		p.tell(p.after(), "order %s %s to=%s force=taint,drained", p.pick("restore", "failback", "switchover"), name, endpoint)
	case 2:
		p.tell(p.after(), "order clear %s to=%s", name, p.pick(p.endpoints[name]...))
		fallthrough
	default:
		p.tell(p.after(), "%s/%s %s", name, endpoint, p.pick("refused", "timeout"))
	}
	if p.IntN(3) == 0 {
		p.tell(p.pick("1ms", "2ms", "3ms", "4ms", "5ms", "6ms", "1s", "1500ms", "2500ms"), "%s", p.pick("kill", "kill", "restart", "store down", "stand-still 1.5s", p.order(name), p.hand(name, endpoint)))
		p.tell(p.pick("100ms", "3s"), "store up")
	}
}

// flaps is a resource whose endpoints fail in turn, and are mended and cleared.
func (p *plot) flaps(name string) {
	all := p.endpoints[name]
	p.tell("0s", "write app/%s/URL0 %s", name, all[0])
	for i := range 3 + p.IntN(4) {
		last, next := all[i%len(all)], all[(i+1)%len(all)]
		p.tell("3s", "%s/%s ok", name, next)
		p.tell("0s", "order clear %s to=%s", name, next)
		p.tell("3s", "%s/%s refused", name, last)
		p.tell(p.pick("7s", "40s"), "%s/%s ok", name, last)
	}
}

func (p *plot) rare(name, endpoint string) {
	if p.IntN(4) == 0 {
		p.tell(p.pick("3m", "11m"), "end")
		return
	}
	switch p.IntN(4) {
	case 0:
		p.tell(p.after(), "fact %s/%s writable=%s", name, endpoint, p.pick("true", "true", "false"))
	case 1:
		p.tell(p.after(), "fact %s/%s tls_expiry=%s", name, endpoint, p.pick("2026-03-01T12:03:00Z", "2026-03-02T12:00:30Z", "2026-03-09T00:00:00Z", "2027-01-01T00:00:00Z"))
	case 2:
		p.tell(p.after(), "misread%s", p.pick("", " a mistake", " another one"))
	case 3:
		p.tell(p.after(), "reboot %s/%s", name, endpoint)
	}
}

func (p *plot) fate() string {
	purpose := p.pick(p.purposes...)
	switch p.IntN(8) {
	case 0:
		return "lose " + purpose
	case 1:
		return "lose-slowly " + purpose
	case 2:
		return "drop " + purpose
	case 3:
		return "late " + purpose
	case 4:
		return "slow " + purpose + " " + p.pick("50ms", "500ms", "1.9s")
	case 5:
		if !p.rewinds {
			return "stray " + purpose + " " + p.pick("0s", "10ms", "500ms", "2s", "10s")
		}
	}
	name := p.pick(p.resources...)
	switch endpoint := p.pick(p.endpoints[name]...); p.IntN(3) {
	case 0:
		return "when " + purpose + " " + p.order(name)
	case 1:
		return "when " + purpose + " " + p.hand(name, endpoint)
	default:
		return "when " + purpose + " " + name + "/" + endpoint + " " + p.pick("ok", "refused", "auth")
	}
}

func (p *plot) order(name string) string {
	verb := p.pick("switchover", "switchover", "failover", "failback", "restore", "adopt", "refresh", "pause", "resume", "resume", "ack", "drain", "undrain", "clear", "clear")
	line := "order " + verb + " " + name
	if p.IntN(8) == 0 && (verb == "pause" || verb == "resume" || verb == "ack") {
		line = "order " + verb + " --all"
	}
	named := verb == "restore" || verb == "drain" || verb == "undrain" || verb == "clear"
	if named || (verb != "refresh" && verb != "pause" && verb != "resume" && verb != "ack" && p.IntN(2) == 0) {
		line += " to=" + p.pick(p.endpoints[name]...)
	}
	if (verb == "pause" || verb == "drain") && p.IntN(2) == 0 {
		line += " for=" + p.pick("1s", "5s", "20s", "2m")
	}
	if p.IntN(4) == 0 && (verb == "switchover" || verb == "failover" || verb == "restore" || verb == "failback") {
		line += " force=" + p.pick("taint", "drained", "paused", "class", "quorum", "class,quorum", "damping", "mass_failure", "candidate", "taint,paused")
	}
	return line
}

func (p *plot) hand(name, endpoint string) string {
	key := "app/" + name + "/URL" + p.pick("0", "0", "0", "1")
	if !strings.Contains(p.settings[name], "handles=2") {
		key = "app/" + name + "/URL0"
	}
	return p.pick("write "+key+" "+endpoint, "write "+key+" "+endpoint, "write "+key+" foreign", "delete "+key,
		"alien "+name+" mon-b", "alien "+name+" mon-a")
}

// reload draws another configuration of a resource: tuned, its password
// rotated, an endpoint renamed, another number of handles.
func (p *plot) reload(name string) {
	set := p.settings[name]
	var endpoints []string
	change := p.IntN(4)
	for i, ep := range p.endpoints[name] {
		switch {
		case change == 0:
			ep += ":rotated"
		case change == 1 && i == 0:
			ep = "z@" + ep
		}
		endpoints = append(endpoints, ep)
	}
	if change == 2 {
		if set = strings.ReplaceAll(set, " handles=2", ""); set == p.settings[name] {
			set += " handles=2"
		}
		set = strings.ReplaceAll(set, " same=1", "")
	}
	p.tell(p.after(), "%s %s %s %s", p.pick("reload", "reload", "restart"), name, strings.Join(endpoints, " "), set)
	if change == 0 && p.IntN(2) == 0 {
		p.tell(p.pick("50ms", "1s"), "order refresh %s", name)
	}
}
