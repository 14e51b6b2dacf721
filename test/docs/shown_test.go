package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/reattach/reattach/test/daemon"
)

// shown is a command of reattach's as a text has it.
type shown struct {
	page string
	line int
	text string // without "reattach"
}

// mention finds a command in a line of a block: after a prompt, sudo or variables.
var mention = regexp.MustCompile(`^(?:\$ )?(?:sudo )?(?:[A-Z_]+=\S+ )*reattach ([a-z].*)$`)

// span is a command within a sentence or a table.
var span = regexp.MustCompile("`reattach ([a-z][^`]*)`")

// mentions lists every command of reattach's that a page shows, wherever it stands.
func mentions(page, text string) (all []shown) {
	fenced := false
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
			continue
		}
		if !fenced {
			for _, m := range span.FindAllStringSubmatch(line, -1) {
				all = append(all, shown{page, number, m[1]})
			}
			continue
		}
		if m := mention.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			// What it is for stands beside it.
			command, _, _ := strings.Cut(m[1], "   ")
			command, _, _ = strings.Cut(command, " # ")
			all = append(all, shown{page, number, strings.TrimSpace(command)})
		}
	}
	return all
}

// TestShownCommandsExist: each command that any text shows, in a block, a table or a
// sentence, is one that there is, with settings that it takes. [TestCommands] runs
// those that a page walks through.
func TestShownCommandsExist(t *testing.T) {
	count := 0
	for _, page := range pages(t) {
		for _, s := range mentions(filepath.Base(page), read(t, page)) {
			count++
			if why := wrong(t, s.text); why != "" {
				t.Errorf("%s:%d: reattach %s\n%s", s.page, s.line, s.text, why)
			}
		}
	}
	if count < 100 {
		t.Errorf("only %d commands were found", count)
	}
	t.Logf("%d commands", count)
}

// TestWrongCommandsAreFound: the check above can fail.
func TestWrongCommandsAreFound(t *testing.T) {
	for _, text := range []string{"statsu", "status --wach", "notify tset chat", "switchover --reason x", "drain orders-db", "pause orders-db --fro 2h --reason x", "pause --all --fro 2h --config x", "ack a b --reason x"} {
		if wrong(t, text) == "" {
			t.Errorf("reattach %s is taken for right", text)
		}
	}
	text := "Say `reattach status`, or:\n```\n$ sudo reattach ack r --reason \"a b\"\nreattach version   what it is\nreattached\n```\n"
	want := []shown{{"p", 1, "status"}, {"p", 3, `ack r --reason "a b"`}, {"p", 4, "version"}}
	if got := mentions("p", text); !slices.Equal(got, want) {
		t.Errorf("mentions %v, want %v", got, want)
	}
}

// wrong says what is wrong with a command. What stands for something else (COMMAND,
// …) is taken for it.
func wrong(t *testing.T, text string) string {
	t.Helper()
	words := split(text)
	if words[0] == "COMMAND" {
		return ""
	}
	if out, err := run(words, "--help"); err != nil {
		return out
	} else if !strings.Contains(out, "\n  reattach "+words[0]+" ") {
		return "there is no such command"
	} else if strings.Contains(out, "\nAvailable Commands:\n") && len(words) > 1 && !strings.Contains(out, "\n  reattach "+words[0]+" "+words[1]+" ") {
		return "there is no " + words[1] + " in " + words[0]
	}
	if !slices.Contains(asks, words[0]) || len(words) == 1 { // a sentence may name a command, and no more
		return ""
	}
	if slices.Contains(orders, words[0]) && !slices.Contains(words, "--reason") && len(words) < 4 {
		words = append(words, "--reason", "…") // a sentence names the command, and not all of it
	}
	if slices.Contains(words, "--config") { // straight to a store that is not here: its flags are read, and no more
		if out, err := run(append(words, "--help")); err != nil {
			return out
		}
		return ""
	}
	if out, err := run(words); exitOf(err) != 3 {
		return out
	}
	return ""
}

// What asks the daemon, and so finds nobody here; what has done something, too.
var (
	orders = []string{"switchover", "failover", "failback", "restore", "adopt", "refresh", "pause", "resume", "ack", "drain", "undrain", "clear"}
	asks   = append([]string{"status", "explain", "history", "events"}, orders...)
)

// run runs reattach where no daemon is.
func run(words []string, more ...string) (string, error) {
	cmd := exec.Command(daemon.Binary(), append(slices.Clone(words), more...)...)
	cmd.Env = append(os.Environ(), "REATTACH_SOCKET=/nowhere/reattach.sock", "REATTACH_ADDRESS=")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func exitOf(err error) int {
	if exit, ok := err.(*exec.ExitError); ok {
		return exit.ExitCode()
	}
	return 0
}

// split breaks a command into words as a shell does, as far as texts need it.
func split(text string) (words []string) {
	for _, m := range regexp.MustCompile(`"([^"]*)"|(\S+)`).FindAllStringSubmatch(text, -1) {
		if m[2] == "|" || m[2] == ">" {
			break
		}
		words = append(words, m[1]+m[2])
	}
	return words
}

// TestToldCommandsExist: what a notice tells people to type next is a command that
// there is, with all that it takes. The stories' golden files hold what is told.
func TestToldCommandsExist(t *testing.T) {
	files, err := filepath.Glob(root + "/failover/testdata/scenario/*.golden")
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]string{}
	for _, file := range files {
		for _, m := range regexp.MustCompile(`next="reattach ([^"]*)"`).FindAllStringSubmatch(read(t, file), -1) {
			command, _, _ := strings.Cut(m[1], "   or   ")
			told[command] = filepath.Base(file)
		}
	}
	for command, file := range told {
		if why := wrong(t, command); why != "" {
			t.Errorf("%s: reattach %s\n%s", file, command, why)
		}
		if words := split(command); slices.Contains(orders, words[0]) && !slices.Contains(words, "--reason") {
			t.Errorf("%s: reattach %s wants a --reason", file, command)
		}
	}
	if len(told) < 10 {
		t.Errorf("only %d commands were found", len(told))
	}
	t.Logf("%d commands", len(told))
}
