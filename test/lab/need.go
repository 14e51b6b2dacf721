package lab

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/log"
)

//go:embed images
var images embed.FS

// Tag is the images' tag: a hash of all that they are built from, as images.sh
// computes it.
var Tag = sync.OnceValue(func() string {
	var paths []string
	_ = fs.WalkDir(images, "images", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			paths = append(paths, path)
		}
		return err
	})
	sort.Strings(paths)
	hash := sha256.New()
	for _, path := range paths {
		content, _ := images.ReadFile(path)
		hash.Write(content)
	}
	return hex.EncodeToString(hash.Sum(nil))[:12]
})

// prepare sets what testcontainers reads once, at its first use: its reaper's
// image may not be had, and inside a container it would look for the engine's
// host in the wrong place.
var prepare = sync.OnceFunc(func() {
	setDefault("TESTCONTAINERS_RYUK_DISABLED", "true")
	if _, err := os.Stat("/.dockerenv"); err == nil {
		setDefault("TESTCONTAINERS_HOST_OVERRIDE", "127.0.0.1")
	}
	log.SetDefault(log.NewNoopLogger())
})

func setDefault(name, value string) {
	if os.Getenv(name) == "" {
		_ = os.Setenv(name, value)
	}
}

// required are the images that every lab has.
var required = []string{"mariadb", "rabbitmq", "postfix", "memcached", "tools"}

// missing is why no lab can be had here, or "".
var missing = sync.OnceValue(func() string {
	prepare()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	docker, err := testcontainers.NewDockerClientWithOpts(ctx)
	if err != nil {
		return "no container engine answers"
	}
	defer func() { _ = docker.Close() }()
	for _, kind := range required {
		if _, err := docker.ImageInspect(ctx, Image(kind)); err != nil {
			return fmt.Sprintf("image %s is not built", Image(kind))
		}
	}
	return ""
})

// Need leaves the test out, by name, where the lab cannot be had or is not
// wanted (REATTACH_FAST=1). With REATTACH_REQUIRE_LAB=1, as in `make test`, it
// fails the test instead.
func Need(t testing.TB) {
	t.Helper()
	need(t, missing)
}

// NeedConsul is [Need] for tests that use Consul or consul-template.
func NeedConsul(t testing.TB) {
	t.Helper()
	need(t, func() string {
		for _, tool := range []string{"consul", "consul-template"} {
			if _, err := os.Stat(Tool(tool)); err != nil {
				return tool + " is not built"
			}
		}
		return ""
	})
}

// NeedImage is [Need] for tests that also use an image that the quickstart does
// without: monitoring, packaging.
func NeedImage(t testing.TB, kind string) {
	t.Helper()
	Need(t)
	if reason := noImage(kind); reason != "" {
		need(t, func() string { return reason })
	}
}

// NeedTool is [Need] for tests that use a program that the set-up built.
func NeedTool(t testing.TB, tool string) {
	t.Helper()
	need(t, func() string {
		if _, err := os.Stat(Tool(tool)); err != nil {
			return tool + " is not built"
		}
		return ""
	})
}

// NeedCommand is [Need] for tests that run a program of Debian's on this machine.
func NeedCommand(t testing.TB, command string) {
	t.Helper()
	need(t, func() string {
		if _, err := exec.LookPath(command); err != nil {
			return command + " is not installed"
		}
		return ""
	})
}

// NeedEnvconsul is for tests of envconsul, which not every module proxy serves:
// where it could not be built they are skipped, by name. Call them …EnvconsulTarget….
func NeedEnvconsul(t testing.TB) {
	t.Helper()
	NeedConsul(t)
	if _, err := os.Stat(Tool("envconsul")); err != nil {
		t.Skip("lab: envconsul is not built (the module proxy did not serve it when the lab was set up)")
	}
}

// NeedMySQL is [Need] for tests of MySQL itself, whose image is the one that may
// be missing anywhere: then they are skipped, by name. Call them …MySQLTarget….
func NeedMySQL(t testing.TB) {
	t.Helper()
	Need(t)
	if noImage("mysql") != "" {
		t.Skip("lab: no MySQL image (Debian unstable could not be had when the lab was set up)")
	}
}

// noImage is why an image cannot be used, or "".
func noImage(kind string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	docker, err := testcontainers.NewDockerClientWithOpts(ctx)
	if err != nil {
		return "no container engine answers"
	}
	defer func() { _ = docker.Close() }()
	if _, err := docker.ImageInspect(ctx, Image(kind)); err != nil {
		return fmt.Sprintf("image %s is not built", Image(kind))
	}
	return ""
}

func need(t testing.TB, why func() string) {
	t.Helper()
	fast, must := os.Getenv("REATTACH_FAST") != "", os.Getenv("REATTACH_REQUIRE_LAB") != ""
	if fast && !must {
		t.Skip("lab: left out of the fast tests")
	}
	switch reason := why(); {
	case reason == "":
	case must:
		t.Fatalf("lab: %s: run make setup", reason)
	default:
		t.Skipf("lab: %s: run make setup", reason)
	}
}

//go:embed versions
var versionsFile string

// version of a tool, by the file that the set-up reads, too.
func version(tool string) string {
	for line := range strings.Lines(versionsFile) {
		if name, version, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name == tool {
			return version
		}
	}
	return ""
}

// Tool is the path of a program that the set-up built: consul, consul-template, envconsul, nfpm.
func Tool(name string) string {
	cache := os.Getenv("REATTACH_CACHE")
	if cache == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			base = filepath.Join(os.TempDir(), "cache")
		}
		cache = filepath.Join(base, "reattach")
	}
	return filepath.Join(cache, "bin", name+"-"+version(name))
}
