package probe_test

import (
	"slices"
	"testing"

	"github.com/reattach/reattach/probe"
)

func TestMemory(t *testing.T) {
	list := []probe.Secret{"a", "b", "c"}
	target := probe.Target{Passwords: list, Memory: &probe.Memory{}}
	want := func(first ...probe.Secret) {
		t.Helper()
		if _, got := target.Credentials(); !slices.Equal(got, first) {
			t.Errorf("the order has other passwords in front: %d of %d, %q", len(got), len(first), reveal(got))
		}
	}
	want("a", "b", "c")
	target.Took("c")
	want("c", "a", "b")
	if !slices.Equal(list, []probe.Secret{"a", "b", "c"}) {
		t.Error("the configured list was changed")
	}
	target.Took("b")
	want("b", "a", "c")
	target.Took("a")
	want("a", "b", "c")
	// Another conversation, with a list that has changed.
	target.Passwords = []probe.Secret{"d", "a"}
	want("a", "d")
	target.Took("e") // is not configured: no password of former days is sent
	want("d", "a")
	target.Memory = nil
	target.Took("a")
	want("d", "a")
}

func reveal(secrets []probe.Secret) (out []string) {
	for _, s := range secrets {
		out = append(out, s.Reveal())
	}
	return out
}
