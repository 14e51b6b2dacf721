package configs

import (
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// Bounds of handles. A key of Consul has at most 512 bytes; a transaction has
// 512 KiB, as base64, for all handles of a resource.
const (
	longestKey   = 512
	longestValue = 8 << 10
)

// ownPrefix is where reattach keeps its state. Handles share no prefix with
// it, because envconsul restarts its child on any key below the prefix that it
// reads.
const ownPrefix = "reattach"

// handles reads the keys that applications read.
func (l *loader) handles(r *policy.Resource, s *section, p *placed) {
	seen := map[string]hcl.Range{}
	var key string
	if get(s, "handle", &key) && l.handleKey(key, s.place("handle")) {
		h := policy.Handle{Key: key}
		for _, e := range r.Endpoints {
			h.Values = append(h.Values, probe.Secret(e.Target.URL.Reveal()))
		}
		seen[key] = s.place("handle")
		r.Handles, p.handles = append(r.Handles, h), append(p.handles, s.place("handle"))
	}
	if s.has("handles") {
		l.spellings(r, s.attrs["handles"], p, seen)
	}
	if !s.has("handle") && !s.has("handles") {
		l.errorf(l.here, `handle = "production/DATABASE_URL"`, "resource %q has no handle: no application would notice a switch", r.Name)
	}
	if len(r.Handles) > mostHandles {
		l.errorf(s.place("handles"), "", "a resource has at most %d handles", mostHandles)
	}
}

// spellings reads further handles, pair by pair.
func (l *loader) spellings(r *policy.Resource, a *attr, p *placed, seen map[string]hcl.Range) {
	pairs, diags := hcl.ExprMap(a.expr)
	if diags.HasErrors() {
		l.errorf(a.expr.Range(), `handles = { "production/JDBC_URL" = "jdbc:mysql://${endpoint.host}:${endpoint.port}${endpoint.path}" }`,
			"handles is a map of keys to texts, written out")
		return
	}
	if len(pairs) == 0 && len(seen) == 0 {
		l.errorf(a.expr.Range(), `handle = "production/DATABASE_URL"`, "resource %q has no handle: no application would notice a switch", r.Name)
	}
	for _, pair := range pairs {
		key, ok := l.key(pair, a.ctx, "handles", seen)
		if !ok || !l.handleKey(key, pair.Key.Range()) {
			continue
		}
		h := policy.Handle{Key: key}
		if l.spell(r, &h, pair.Value, a.ctx) {
			r.Handles, p.handles = append(r.Handles, h), append(p.handles, pair.Key.Range())
		}
	}
}

// spell computes what a handle says for each endpoint.
func (l *loader) spell(r *policy.Resource, h *policy.Handle, expr hcl.Expression, ctx *hcl.EvalContext) bool {
	if len(r.Endpoints) == 0 { // still look for mistakes in it
		_, ok := l.spelling(policy.Endpoint{Name: "x"}, r.Protocol, expr, ctx)
		return ok
	}
	firstOf := map[string]string{}
	for _, e := range r.Endpoints {
		value, ok := l.spelling(e, r.Protocol, expr, ctx)
		if !ok {
			return false
		}
		trimmed := strings.TrimSpace(value)
		if other, same := firstOf[trimmed]; same {
			l.errorf(expr.Range(), "leave out what no switch changes, or let it speak of endpoint.host or endpoint.url",
				"this handle says the same for endpoints %q and %q: nobody could tell by it which one is attached", other, e.Name)
			return false
		}
		firstOf[trimmed] = e.Name
		h.Values = append(h.Values, probe.Secret(value))
	}
	return true
}

// spelling computes what a handle says for one endpoint.
func (l *loader) spelling(e policy.Endpoint, p probe.Protocol, expr hcl.Expression, ctx *hcl.EvalContext) (string, bool) {
	ctx = ctx.NewChild()
	ctx.Variables = map[string]cty.Value{"endpoint": endpointValue(e, p)}
	ctx.Functions = ctx.Parent().Functions
	v, ok := l.eval(expr, ctx)
	if !ok {
		return "", false
	}
	value, ok := asText(v)
	switch {
	case !ok:
		l.errorf(expr.Range(), "jsonencode({ … }) makes a text of it", "the value of a handle is a text")
	case strings.TrimSpace(value) == "":
		l.errorf(expr.Range(), "", "this handle is empty for endpoint %q", e.Name)
	case len(value) > longestValue:
		l.errorf(expr.Range(), "", "a handle has at most %d bytes", longestValue)
	default:
		return value, true
	}
	return "", false
}

// handleKey checks a handle's key.
func (l *loader) handleKey(key string, at hcl.Range) bool {
	switch {
	case key == "":
		l.errorf(at, "", "the key of a handle is empty")
	case strings.Contains(key, "://"):
		l.urlSecret(nil, key)
		l.errorf(at, `handle = "production/DATABASE_URL", and the URL in an endpoint block`, "a handle is a key in the store, not the URL that it holds")
	case strings.HasPrefix(key, "/"):
		l.errorf(at, `did you mean "`+strings.TrimLeft(l.say(at, key), "/")+`"?`, "a key does not begin with a slash")
	case strings.HasSuffix(key, "/"):
		l.errorf(at, "", "a key that ends with a slash is a folder: name the key in it")
	case key == ownPrefix || strings.HasPrefix(key, ownPrefix+"/"):
		l.errorf(at, "", "keys below %s/ are reattach's own: whoever reads a prefix there is woken by every ballot", ownPrefix)
	case len(key) > longestKey:
		l.errorf(at, "", "a key has at most %d bytes", longestKey)
	case strings.TrimSpace(key) != key || strings.ContainsFunc(key, func(c rune) bool { return c < ' ' || c == 0x7f }):
		l.errorf(at, "", "a key has no control characters, and no white space at its ends")
	case badSegment(key):
		l.errorf(at, "", `a key has no empty part, and none that is "." or ".."`)
	default:
		return true
	}
	return false
}

// badSegment finds what HTTP servers and clients rewrite in a path.
func badSegment(key string) bool {
	for part := range strings.SplitSeq(key, "/") {
		if part == "" || part == "." || part == ".." {
			return true
		}
	}
	return false
}
