package install

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reattach/reattach/test/daemon"
	"github.com/reattach/reattach/test/lab"
)

// imageName is what the tests' images are called: apart from a person's own.
const imageName = "reattach-install-test"

// image builds both images once for all tests, and returns the name of one:
// "latest" or "debian". They go with the last test.
var image = sync.OnceValue(func() func(t *testing.T, tag string) string {
	built := false
	return func(t *testing.T, tag string) string {
		t.Helper()
		if !built {
			command(t, []string{"IMAGE=" + imageName, "VERSION=tested", "COMMIT=tested"}, "deployments/docker/build.sh")
			built = true
		}
		return imageName + ":" + tag
	}
})

func removeImages() {
	out, err := exec.Command("docker", "images", "-q", "--filter", "reference="+imageName).Output()
	if ids := strings.Fields(string(out)); err == nil && len(ids) > 0 {
		_ = exec.Command("docker", append([]string{"rmi", "-f"}, ids...)...).Run()
	}
}

// caches is a configuration for containers: one resource, and the store in a file.
func caches(a, b *lab.Server, more string) string {
	return fmt.Sprintf(`
store "embedded" {
  path = "/var/lib/reattach/store.db"
}
listen {
  http  = "0.0.0.0:9778"
  token = "for-readers"
}
resource "sessions" {
  handle = "production/CACHE_URL"
  endpoint "a" { url = %q }
  endpoint "b" { url = %q }
  policy {%s
  }
}
%s`, a.URL(""), b.URL(""), daemon.Fast, more)
}

// contained is a reattach in a container of its own.
type contained struct {
	t    *testing.T
	name string
}

// contain runs an image as our documents say: nothing can be written but its
// directories, and no right is left. Args are further ones of docker run.
func contain(t *testing.T, network *lab.Lab, image, config string, args ...string) *contained {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "reattach.hcl"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	// The test's own directories are closed to others.
	for up := dir; strings.HasPrefix(up, os.TempDir()+"/"); up = filepath.Dir(up) {
		if err := os.Chmod(up, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	c := &contained{t: t, name: network.Network() + "-reattach"}
	run := []string{"run", "-d", "--name", c.name, "--network", network.Network(), "--label", "reattach-lab=1",
		"--label", "reattach-lab.run=" + os.Getenv("REATTACH_LAB_RUN"), "--init", "--read-only", "--cap-drop", "ALL",
		"--security-opt", "no-new-privileges", "--tmpfs", "/run/reattach:uid=65532,mode=0700", "-v", "/var/lib/reattach",
		"-v", dir + ":/etc/reattach:ro", "--health-interval", "1s", "--health-start-period", "1s"}
	t.Cleanup(func() { _ = exec.Command("docker", "rm", "-fv", c.name).Run() })
	command(t, nil, "docker", append(append(run, args...), image)...)
	return c
}

// docker runs a command of the engine about the container: the first word, its
// name, the rest.
func (c *contained) docker(args ...string) string {
	out, err := exec.Command("docker", append([]string{args[0], c.name}, args[1:]...)...).CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%s%v", out, err)
	}
	return string(out)
}

// says waits until reattach's answer to a command has a word in it.
func (c *contained) says(word string, args ...string) {
	c.t.Helper()
	ask := func() string { return c.docker(append([]string{"exec", "/usr/bin/reattach"}, args...)...) }
	daemon.Eventually(c.t, 20*time.Second, fmt.Sprintf("reattach %q says %q", args, word), func() bool {
		return strings.Contains(ask(), word)
	}, ask, func() string { return c.docker("logs") })
}

// TestImage: both images, as somebody without rights on a file system that nobody
// can write to, through a failover and a stop.
func TestImage(t *testing.T) {
	lab.Need(t)
	for _, tag := range []string{"latest", "debian"} {
		t.Run(tag, func(t *testing.T) {
			network := lab.New(t)
			a, b := network.Memcached(), network.Memcached()
			c := contain(t, network, image()(t, tag), caches(a, b, ""))
			c.says("1 of 1 resource protected", "status")
			daemon.Eventually(t, 15*time.Second, "it is healthy", func() bool {
				var health string
				_ = json.Unmarshal([]byte(command(t, nil, "docker", "inspect", "-f", "{{json .State.Health.Status}}", c.name)), &health)
				return health == "healthy"
			}, func() string { return c.docker("inspect") })
			for i, who := range strings.Fields(command(t, nil, "docker", "top", c.name, "-eo", "uid,pid")) {
				if i > 1 && i%2 == 0 && who != "65532" { // after the two headings, each process' user and number
					t.Errorf("a process runs as %s", who)
				}
			}
			a.KillProcess()
			c.says("failover", "history", "sessions")
			c.says("b*", "status", "sessions")
			command(t, nil, "docker", "stop", "-t", "10", c.name)
			if code := command(t, nil, "docker", "inspect", "-f", "{{.State.ExitCode}}", c.name); code != "0\n" {
				t.Errorf("exit code %s after a stop:\n%s", code, c.docker("logs"))
			}
		})
	}
}

// TestImageContents: what is in the small one, and that the other has a shell.
func TestImageContents(t *testing.T) {
	lab.Need(t)
	id := strings.TrimSpace(command(t, nil, "docker", "create", image()(t, "latest")))
	t.Cleanup(func() { _ = exec.Command("docker", "rm", "-fv", id).Run() })
	files := command(t, nil, "sh", "-c", "docker export "+id+" | tar -tv")
	contains(t, "the image", files, " usr/bin/reattach", " etc/ssl/certs/ca-certificates.crt", " usr/share/doc/reattach/third-party-licences.txt")
	for line := range strings.Lines(files) {
		if strings.HasPrefix(line, "-rws") || strings.HasSuffix(line, "/sh\n") {
			t.Errorf("the small image has %s", line)
		}
	}
	size := command(t, nil, "docker", "image", "inspect", "-f", "{{.Size}}", image()(t, "latest"))
	t.Logf("%s bytes", strings.TrimSpace(size))
	said := command(t, nil, "docker", "run", "--rm", "--network", "none", "--label", "reattach-lab=1", "--entrypoint", "sh", image()(t, "debian"), "-c", "id; reattach version")
	contains(t, "the larger image", said, "uid=65532(reattach) gid=65532(reattach)", "reattach tested (commit tested")
}
