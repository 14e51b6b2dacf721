// Package install installs and runs reattach as its users do: from the deb and the
// rpm, as an image, in the compose file's stack, and checks the systemd unit, the
// Nomad job and the Kubernetes manifests.
package install

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/reattach/reattach/test/lab"
)

func TestMain(m *testing.M) {
	code := m.Run()
	for _, dir := range scratch {
		_ = os.RemoveAll(dir)
	}
	removeImages()
	os.Exit(code)
}

// scratch are directories that all tests share; they go with the last one.
var scratch []string

// root is the project's directory, as seen from here.
const root = "../../"

// text is a file of the project.
func text(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(root + path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// command runs a program in the project's directory, with further environment
// variables, and returns what it printed.
func command(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s%s", name, args, err, out, &stderr)
	}
	return string(out)
}

// shell runs a script in a lab's container and returns what it printed.
func shell(t *testing.T, s *lab.Server, script string) string {
	t.Helper()
	return s.MustExec("sh", "-euc", script)
}

// contains fails the test where text lacks one of the words.
func contains(t *testing.T, what, text string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("%s lacks %q:\n%s", what, word, text)
		}
	}
}

// absolute is a path of the project for programs that run elsewhere.
func absolute(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(root + path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

// exposure is what `systemd-analyze security` says at its end.
var exposure = regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+) `)
