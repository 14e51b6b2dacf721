package policy_test

import (
	"testing"
	"time"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

func TestWords(t *testing.T) {
	for k := policy.Failover; k <= policy.Adopt; k++ {
		text, err := k.MarshalText()
		var back policy.Kind
		if err != nil || back.UnmarshalText(text) != nil || back != k {
			t.Errorf("%s comes back as %s", k, back)
		}
	}
	for s := policy.Unknown; s <= policy.Down; s++ {
		text, err := s.MarshalText()
		var back policy.State
		if err != nil || back.UnmarshalText(text) != nil || back != s {
			t.Errorf("%s comes back as %s", s, back)
		}
	}
	if new(policy.Kind).UnmarshalText([]byte("nonsense")) == nil || new(policy.State).UnmarshalText([]byte("nonsense")) == nil {
		t.Error("nonsense is a word")
	}
	words := []string{policy.Act.String(), policy.Observe.String(), policy.FailbackManual.String(), policy.FailbackAuto.String(),
		policy.MassHold.String(), policy.MassProceed.String()}
	want := []string{"act", "observe", "manual", "auto", "hold", "proceed"}
	for i := range words {
		if words[i] != want[i] {
			t.Errorf("%q, want %q", words[i], want[i])
		}
	}
	if text, err := policy.Outdated.MarshalText(); err != nil || string(text) != "outdated" {
		t.Errorf("%s, %v", text, err)
	}
}

func TestMassOf(t *testing.T) {
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	well := time.Time{}
	for name, tt := range map[string]struct {
		all     []policy.Attachment
		want    policy.Mass
		failing bool
	}{
		"nothing":                 {nil, policy.Mass{}, false},
		"three of three":          {[]policy.Attachment{{"a", at(0)}, {"b", at(1)}, {"c", at(2)}}, policy.Mass{Addresses: 3, Failed: 3}, false},
		"two of four at once":     {[]policy.Attachment{{"a", at(0)}, {"b", at(30)}, {"c", well}, {"d", well}}, policy.Mass{Addresses: 4, Failed: 2}, true},
		"two of four, 31 s apart": {[]policy.Attachment{{"a", at(0)}, {"b", at(31)}, {"c", well}, {"d", well}}, policy.Mass{Addresses: 4, Failed: 1}, false},
		"two of five":             {[]policy.Attachment{{"a", at(0)}, {"b", at(0)}, {"c", well}, {"d", well}, {"e", well}}, policy.Mass{Addresses: 5, Failed: 2}, false},
		"four databases on one host": {[]policy.Attachment{{"a", at(0)}, {"a", at(1)}, {"a", at(2)}, {"a", at(3)}, {"b", well}},
			policy.Mass{Addresses: 2, Failed: 1}, false},
		"one of a host's two is well": {[]policy.Attachment{{"a", well}, {"a", at(0)}, {"b", at(1)}, {"c", well}, {"d", well}},
			policy.Mass{Addresses: 4, Failed: 2}, true},
		"the latest of a host counts": {[]policy.Attachment{{"a", at(0)}, {"a", at(60)}, {"b", at(61)}, {"c", well}, {"d", well}},
			policy.Mass{Addresses: 4, Failed: 2}, true},
		"an old failure among new ones": {[]policy.Attachment{{"a", at(0)}, {"b", at(100)}, {"c", at(110)}, {"d", at(120)}, {"e", well}},
			policy.Mass{Addresses: 5, Failed: 3}, true},
	} {
		if got := policy.MassOf(tt.all); got != tt.want || got.Failing() != tt.failing {
			t.Errorf("%s: %+v, failing=%v", name, got, got.Failing())
		}
	}
}

// resourceOf is a resource with one handle that holds the URLs themselves.
func resourceOf(t *testing.T, urls ...string) *policy.Resource {
	r := &policy.Resource{Name: "orders-db", Handles: []policy.Handle{{Key: "app/URL"}}}
	for i, text := range urls {
		u, err := probe.ParseURL(text)
		if err != nil {
			t.Fatal(err)
		}
		r.Endpoints = append(r.Endpoints, policy.Endpoint{Name: string(rune('a' + i)), Target: probe.Target{URL: u}})
		r.Handles[0].Values = append(r.Handles[0].Values, probe.Secret(text))
	}
	return r
}

func TestNamed(t *testing.T) {
	h := resourceOf(t, "mysql://app:one@db1/orders", "mysql://app:two@db2/orders?tls=true").Handles[0]
	for value, want := range map[string]struct {
		endpoint int
		exact    bool
	}{
		"mysql://app:one@db1/orders":            {0, true},
		" mysql://app:one@db1/orders\n":         {0, true},
		"mysql://app:old@db1/orders":            {0, false}, // its password was rotated
		"mysql://app@db1/orders":                {-1, false},
		"mysql://app:two@db2/orders?tls=true":   {1, true},
		"mysql://app:two@db2/orders?tls=false":  {-1, false},
		"mysql://app:one@db1/other":             {-1, false},
		"mysql://app:one@db1:3306/orders":       {-1, false},
		"mysql://root:one@db1/orders":           {-1, false},
		"":                                      {-1, false},
		"not a URL":                             {-1, false},
		"MYSQL://app:one@db1/orders":            {0, false},
		"mysql://app:two@db2/orders?tls=true&x": {-1, false},
	} {
		if got, exact := h.Named(value); got != want.endpoint || exact != want.exact {
			t.Errorf("%q names %d, exact=%v", value, got, exact)
		}
	}
}

// TestHash holds what a resource's meaning is, and what it is not.
func TestHash(t *testing.T) {
	base := func() *policy.Resource {
		return resourceOf(t, "mysql://app:one@db1/orders", "mysql://app:two@db2/orders")
	}
	hash := base().Hash([]string{"mon-a", "mon-b"})
	if got := base().Hash([]string{"mon-b", "mon-a"}); got != hash {
		t.Error("the order of the observers counts")
	}
	same := map[string]func(*policy.Resource){
		"password":   func(r *policy.Resource) { r.Endpoints[0].Target.URL.Password = "new" },
		"thresholds": func(r *policy.Resource) { r.Judge.Bad = 5 },
		"pace":       func(r *policy.Resource) { r.Pace.Interval = time.Hour },
		"timeout":    func(r *policy.Resource) { r.Endpoints[0].Target.Timeout = time.Hour },
	}
	for what, change := range same {
		r := base()
		change(r)
		if r.Hash([]string{"mon-a", "mon-b"}) != hash {
			t.Errorf("%s is part of the meaning", what)
		}
	}
	other := map[string]func(*policy.Resource){
		"name":     func(r *policy.Resource) { r.Name = "other" },
		"mode":     func(r *policy.Resource) { r.Mode = policy.Observe },
		"veto":     func(r *policy.Resource) { r.Veto = true },
		"host":     func(r *policy.Resource) { r.Endpoints[0].Target.URL.Host = "db9" },
		"user":     func(r *policy.Resource) { r.Endpoints[0].Target.URL.User = "root" },
		"endpoint": func(r *policy.Resource) { r.Endpoints[1].Name = "reserve" },
		"order":    func(r *policy.Resource) { r.Endpoints[0], r.Endpoints[1] = r.Endpoints[1], r.Endpoints[0] },
		"handle":   func(r *policy.Resource) { r.Handles[0].Key = "app/OTHER" },
		"require":  func(r *policy.Resource) { r.Require = []policy.Requirement{writable} },
		"expect":   func(r *policy.Resource) { r.Judge.Expect = []policy.Requirement{writable} },
	}
	for what, change := range other {
		r := base()
		change(r)
		if r.Hash([]string{"mon-a", "mon-b"}) == hash {
			t.Errorf("%s is no part of the meaning", what)
		}
	}
	if base().Hash([]string{"mon-a"}) == hash {
		t.Error("the observers are no part of the meaning")
	}
}

func TestSeenOK(t *testing.T) {
	ok := probe.Result{Kind: probe.Fresh, Class: probe.OK, Began: start, Ended: start.Add(time.Second)}
	v := policy.Judge(policy.Verdict{}, ok, policy.Thresholds{Bad: 3, Of: 3, Rise: 2})
	if !v.SeenOK(start) || v.SeenOK(start.Add(1)) {
		t.Error("what counts is when the conversation began")
	}
	ok.Kind = probe.Session
	if v = policy.Judge(policy.Verdict{}, ok, policy.Thresholds{Bad: 3, Of: 3, Rise: 2}); v.SeenOK(start) || v.SeenOK(time.Time{}) {
		t.Error("a ping is no fresh conversation")
	}
}
