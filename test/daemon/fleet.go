package daemon

import (
	"fmt"
	"strings"
	"testing"
)

// Fleet prepares a daemon for each name, in a zone of its own, that watch the same
// resources on one Consul, and know one another; and starts none. More is further
// configuration, for all of them.
func Fleet(t testing.TB, address, token, more string, names []string, resources ...Resource) []*Daemon {
	t.Helper()
	doors := make([]string, len(names))
	for i := range names {
		doors[i] = freeAddress(t)
	}
	var fleet []*Daemon
	for i := range names {
		fleet = append(fleet, New(t, FleetConfig(address, token, more, names, doors, i, resources...)))
	}
	return fleet
}

// FleetConfig is the configuration of the i-th of several observers, whose open
// doors these are.
func FleetConfig(address, token, more string, names, doors []string, i int, resources ...Resource) string {
	var peers strings.Builder
	for j, name := range names {
		fmt.Fprintf(&peers, "    %q = \"http://%s\"\n", name, doors[j])
	}
	text := fmt.Sprintf("observer {\n  name      = %q\n  zone      = \"az-%d\"\n  state_dir = \"DIR/state\"\n  peers = {\n%s  }\n}\n", names[i], i+1, peers.String())
	text += fmt.Sprintf("store \"consul\" {\n  address = %q\n  token   = %q\n}\nlisten {\n  http   = %q\n  socket = \"DIR/sock\"\n}\n%s", address, token, doors[i], more)
	for _, r := range resources {
		text += r.HCL()
	}
	return text
}
