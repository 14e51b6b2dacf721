package configs_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/reattach/reattach/configs"
)

const before = `observer {
  name = "mon-a"
}
store "consul" {
  token = env("WORD")
}
resource "db" {
  handle = "db"
  endpoint "a" { url = "mysql://app:x@a/x" }
  endpoint "b" { url = "mysql://app:x@b/x" }
}
resource "cache" {
  handle = "cache"
  endpoint "a" { url = "memcached://a" }
  endpoint "b" { url = "memcached://b" }
}
`

func TestDiff(t *testing.T) {
	for _, test := range []struct {
		name  string
		edits []string // pairs of old and new
		want  configs.Changes
	}{
		{name: "nothing"},
		{"a comment", []string{"observer {", "# hello\nobserver {"}, configs.Changes{}},
		{"another name", []string{`"mon-a"`, `"mon-b"`}, configs.Changes{
			Changed: []configs.Change{{Name: "db", What: []string{"probe"}}, {Name: "cache", What: []string{"probe"}}},
			Restart: []string{"observer.name"}, Peers: true}},
		{"more observers", []string{"observer {", "observer {\n  zone = \"z\"\n  peers = {\n    mon-a = \"http://10.0.0.1:9778\"\n    mon-b = \"http://10.0.0.2:9778\"\n    mon-c = \"http://10.0.0.3:9778\"\n  }"}, configs.Changes{Peers: true}},
		{"another store", []string{"token = env(\"WORD\")", `address = "http://localhost:8500"`}, configs.Changes{Restart: []string{"store"}, Tokens: []string{"store"}}},
		{"a rotated token", []string{`env("WORD")`, `env("ORDERS_PW")`}, configs.Changes{Tokens: []string{"store"}}},
		{"a rotated password", []string{"app:x@a", "app:y@a"}, configs.Changes{Changed: []configs.Change{{Name: "db", What: []string{"endpoints", "handles"}}}}},
		{"a renamed endpoint", []string{`"a" { url = "mysql`, `"c" { url = "mysql`}, configs.Changes{Changed: []configs.Change{{Name: "db", What: []string{"endpoints"}, Dropped: []string{"a"}}}}},
		{"a renamed resource", []string{`"cache" {`, `"sessions" {`}, configs.Changes{Added: []string{"sessions"}, Removed: []string{"cache"}}},
		{"an expectation", []string{"handle = \"db\"", "handle = \"db\"\n  expect = [\"writable\"]"}, configs.Changes{Changed: []configs.Change{{Name: "db", What: []string{"expect"}}}}},
		{"a requirement", []string{"handle = \"db\"", "handle = \"db\"\n  require = [\"writable\"]"}, configs.Changes{Changed: []configs.Change{{Name: "db", What: []string{"require"}}}}},
		{"times", []string{`  handle = "cache"`, "  handle = \"cache\"\n  policy {\n    sustain = \"9s\"\n    timeout = \"2s\"\n    mode = \"observe\"\n  }"},
			configs.Changes{Changed: []configs.Change{{Name: "cache", What: []string{"timeout", "sustain", "mode"}}}}},
	} {
		after := strings.NewReplacer(test.edits...).Replace(before)
		got := configs.Diff(load(t, before), load(t, after))
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
		if got.Empty() != (len(test.edits) == 0 || test.name == "a comment") {
			t.Errorf("%s: Empty() = %v", test.name, got.Empty())
		}
	}
}
