package daemon

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
)

// Resource is a resource's block: two endpoints, a and b.
type Resource struct {
	Name    string
	Handle  string
	Handles string // further ones, as HCL
	A, B    string // the endpoints' URLs
	More    string // further settings and blocks, as HCL
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
	if r.More != "" {
		more += "\n" + r.More
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

// Several are the configurations of as many observers as there are addresses of
// Consul, each with one of them and in a zone of its own, on this machine.
func Several(t testing.TB, addresses []string, token string, resources ...Resource) (texts []string) {
	t.Helper()
	doors, peers := make([]string, len(addresses)), ""
	for i := range addresses {
		doors[i] = freeAddress(t)
		peers += fmt.Sprintf("    \"mon-%d\" = \"http://%s\"\n", i+1, doors[i])
	}
	for i, address := range addresses {
		text := OnConsul(address, token, resources...)
		text = strings.Replace(text, `  http   = ""`, fmt.Sprintf("  http   = %q", doors[i]), 1)
		texts = append(texts, strings.Replace(text, `  name      = "e2e"`,
			fmt.Sprintf("  name      = \"mon-%d\"\n  zone      = \"az-%d\"\n  peers = {\n%s  }", i+1, i+1, peers), 1))
	}
	return texts
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
	// Below the ports that the kernel gives to whoever asks for any: nobody takes it
	// before the daemon does.
	for range 100 {
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000)))
		if err != nil {
			continue
		}
		_ = listener.Close()
		return listener.Addr().String()
	}
	t.Fatal("no port of a hundred is free")
	return ""
}
