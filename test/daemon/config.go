package daemon

import (
	"fmt"
	"net"
	"testing"
)

// Resource is a resource's block: two endpoints, a and b.
type Resource struct {
	Name    string
	Handle  string
	Handles string // further ones, as HCL
	A, B    string // the endpoints' URLs
	Policy  string // settings of its policy, as HCL
}

// Fast are the thresholds of tests that are not about thresholds.
const Fast = `
    interval         = "200ms"
    fresh_interval   = "500ms"
    timeout          = "2s"
    suspect_interval = "100ms"
    sustain          = "1s"`

// HCL is the block.
func (r Resource) HCL() string {
	more := ""
	if r.Handles != "" {
		more = "\n  handles = {\n" + r.Handles + "\n  }"
	}
	return fmt.Sprintf(`
resource %q {
  handle = %q%s
  endpoint "a" { url = %q }
  endpoint "b" { url = %q }
  policy {%s
  }
}
`, r.Name, r.Handle, more, r.A, r.B, r.Policy)
}

// OnConsul is a whole configuration with Consul for its store.
func OnConsul(address, token string, resources ...Resource) string {
	return configuration(fmt.Sprintf("store \"consul\" {\n  address = %q\n  token   = %q\n}\n", address, token), "", resources)
}

// Embedded is one with the store in a file, and the address of its open door.
func Embedded(t testing.TB, resources ...Resource) (text, door string) {
	t.Helper()
	door = freeAddress(t)
	return configuration("store \"embedded\" {\n  path = \"DIR/store.db\"\n}\n", door, resources), door
}

func configuration(store, door string, resources []Resource) string {
	text := fmt.Sprintf("observer {\n  name      = \"e2e\"\n  state_dir = \"DIR/state\"\n}\n%slisten {\n  http   = %q\n  socket = \"DIR/sock\"\n}\n", store, door)
	for _, r := range resources {
		text += r.HCL()
	}
	return text
}

// freeAddress is a port of loopback that nobody listens on.
func freeAddress(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}
