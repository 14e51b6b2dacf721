package main

import (
	"os"
	"strings"

	"github.com/reattach/reattach/configs"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// closerLook is the command that has the daemon's own conversation with an endpoint
// again, as it can be pasted: with the probe's account, and its password from the
// file where the configuration has it. Where the password comes from elsewhere, no
// command line can name it, and check reads the configuration.
func closerLook(conf *configs.Config, paths []string, target probe.Target) string {
	user, passwords := target.Credentials()
	u := target.URL
	words := []string{"reattach", "probe", ""}
	if password := passwords[0].Reveal(); password != "" {
		file := keptIn(conf, password)
		if file == "" || user == password { // some mail services have one token for both
			return "reattach check --live" + given(paths)
		}
		u.Password, u.HasPass = "", false
		words = append(words, "--password-file", file)
	}
	if strings.Contains(u.String(), probe.Mask) { // a secret in its query
		return "reattach check --live" + given(paths)
	}
	if user != u.User {
		u.User = ""
		words = append(words, "--user", user)
	}
	words[2] = u.String()
	t := target.TLS
	if t.Mode != probe.TLSDefault {
		words = append(words, "--tls", t.Mode.String())
	}
	for _, flag := range [][2]string{{"--ca-file", t.CAFile}, {"--cert-file", t.CertFile}, {"--key-file", t.KeyFile}, {"--server-name", t.ServerName}} {
		if flag[1] != "" {
			words = append(words, flag[0], flag[1])
		}
	}
	for i := range words {
		words[i] = shellWord(words[i])
	}
	return strings.Join(words, " ")
}

// keptIn returns the file that a password was read from; empty if it was none.
func keptIn(conf *configs.Config, password string) string {
	for _, f := range conf.Files {
		if b, err := os.ReadFile(f.Path); err == nil && strings.TrimRight(string(b), "\r\n") == password {
			return f.Path
		}
	}
	return ""
}

// given repeats the paths of a configuration, as they were given.
func given(paths []string) string {
	var b strings.Builder
	for _, path := range paths {
		b.WriteString(" " + shellWord(path))
	}
	return b.String()
}

// shellWord quotes s for a shell where it needs it.
func shellWord(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/:@.,_+=%-[]", r)
	}
	if s != "" && strings.TrimFunc(s, plain) == "" && !strings.ContainsAny(s, "[]") {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// targetOf is what an endpoint is probed by.
func targetOf(def *policy.Resource, e liveEndpoint) probe.Target {
	if def != nil {
		for _, own := range def.Endpoints {
			if own.Name == e.Name {
				return own.Target
			}
		}
	}
	return probe.Target{URL: e.URL}
}
