package policy_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

var someFacts = []probe.Fact{
	{Name: "writable", Type: "bool"}, {Name: "lag", Type: "int64"}, {Name: "load", Type: "float64"},
	{Name: "version", Type: "string"}, {Name: "product", Type: "string"}, {Name: "queue(NAME)", Type: "bool"},
}

func TestRequirements(t *testing.T) {
	facts := probe.Facts{"writable": true, "lag": int64(5), "load": 0.5, "version": "11.8.9-MariaDB", "queue(orders)": false, "queue(a>b)": false, "queue(a<=b)": false, "product": "Fake"}
	for text, want := range map[string]struct {
		met bool
		why string // if it is not met
	}{
		"writable": {true, ""}, "!writable": {false, "writable is true"}, " writable == true": {true, ""}, "writable != true": {false, "writable is true, not != true"},
		"lag <= 5": {true, ""}, "lag<=5s": {true, ""}, "lag < 5": {false, "lag is 5, not < 5"}, "lag > 4.5": {true, ""}, "lag >= 1m": {false, "lag is 5, not >= 1m"},
		"lag == 5": {true, ""}, "lag != 5": {false, "lag is 5, not != 5"},
		"load < 1":         {true, ""},
		"version >= 10.11": {true, ""}, "version < 11.8.10": {true, ""}, "version >= 11.10": {false, "version is 11.8.9-MariaDB, not >= 11.10"},
		"version == 11.8.9-MariaDB": {true, ""}, `version != "x"`: {true, ""},
		"queue(orders)": {false, "queue(orders) is false"}, "!queue(orders)": {true, ""}, "queue(other)": {false, "queue(other) is unknown"},
		"!queue(a>b)": {true, ""}, "queue(a<=b) == false": {true, ""}, "product == a(b>c)": {false, "product is Fake, not == a(b>c)"},
	} {
		r, err := policy.ParseRequirement(text, someFacts)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		met, why := r.Met(facts)
		if met != want.met || !met && why != want.why {
			t.Errorf("%q: %v, %q; want %v, %q", text, met, why, want.met, want.why)
		}
		if met, why := r.Met(nil); met || why != r.Fact+" is unknown" {
			t.Errorf("%q of an endpoint of which nothing is known: %v, %q", text, met, why)
		}
	}
}

func TestWrongRequirements(t *testing.T) {
	for text, want := range map[string]string{
		"":                 `not a requirement: no such fact ""`,
		"writeable":        `not a requirement: no such fact "writeable"`,
		"writable(x)":      `not a requirement: no such fact "writable(x)"`,
		"queue":            `not a requirement: no such fact "queue"`,
		"queue()":          "not a requirement: write queue(NAME)",
		"queue(x":          "not a requirement: write queue(NAME)",
		"lag":              `not a requirement: lag is no yes or no: compare it, as "lag <= 5"`,
		"!version":         `not a requirement: version is no yes or no: compare it, as "version == …"`,
		"lag <= many":      `not a requirement: lag is a number, and "many" is none`,
		"lag != NaN":       `not a requirement: lag is a number, and "NaN" is none`,
		"lag < Inf":        `not a requirement: lag is a number, and "Inf" is none`,
		"lag <=":           `not a requirement: lag is a number, and "" is none`,
		"writable > 1":     "not a requirement: writable is true or false",
		"version > eleven": `not a requirement: "eleven" is no version number`,
		"product < abc":    "not a requirement: product is a text: compare it by == or !=",
		"version ==":       "not a requirement: nothing to compare version with",
		"lag = 5":          `not a requirement: no such fact "lag = 5"`,
	} {
		_, err := policy.ParseRequirement(text, someFacts)
		if !errors.Is(err, policy.ErrRequirement) || err.Error() != want {
			t.Errorf("%q: %v; want %s", text, err, want)
		}
	}
}

// TestUnmetNamesEach: a fact of the wrong type meets nothing, either.
func TestUnmetNamesEach(t *testing.T) {
	var all []policy.Requirement
	for _, text := range []string{"writable", "lag < 5", "version >= 8"} {
		r, err := policy.ParseRequirement(text, someFacts)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	if got := policy.Unmet(all, probe.Facts{"writable": "yes", "lag": "1", "version": "x"}); len(got) != 3 {
		t.Errorf("%q", got)
	}
	if got := policy.Unmet(all, probe.Facts{"writable": true, "lag": int64(1), "version": "9.7"}); got != nil {
		t.Errorf("%q", got)
	}
}

// FuzzRequirement: a text is refused with a reason, or is a requirement over a fact
// that there is, which an endpoint of which nothing is known does not meet.
func FuzzRequirement(f *testing.F) {
	for _, text := range []string{"writable", "!writable", "lag <= 5s", "version >= 10.11", "queue(a>b) == true", `product != "x"`, "!lag <= 5", "lag != NaN", "queue()", "load < 0x1p-2"} {
		f.Add(text, int64(5), 0.5, "11.8.9-MariaDB")
	}
	f.Fuzz(func(t *testing.T, text string, lag int64, load float64, version string) {
		r, err := policy.ParseRequirement(text, someFacts)
		if err != nil {
			if !errors.Is(err, policy.ErrRequirement) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if met, why := r.Met(nil); met || why != r.Fact+" is unknown" {
			t.Errorf("%q of nothing: %v, %q", text, met, why)
		}
		facts := probe.Facts{"writable": true, "lag": lag, "load": load, "version": version, "product": version}
		if met, why := r.Met(facts); !met && why == "" || !strings.Contains(r.Text, r.Fact) {
			t.Errorf("%q of %v: %v, %q", text, facts, met, why)
		}
	})
}
