package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/reattach/reattach/probe"
)

const probeText = `Have one whole conversation with a server in its own protocol: resolve, connect, TLS,
greeting, authentication, a round trip, what the server is, goodbye. Each phase is
timed. The outcome has a class, which says what it would be evidence of.

Exit code 0 when the class is ok, 1 when it is anything else.

A password in URL can be read in the list of processes, and in the shell's history.
Give it by --password-env or --password-file, or the whole URL on standard input (-).`

const probeExamples = `  reattach probe memcached://10.0.0.7
  DB_PW=… reattach probe mysql://app@db1.internal/orders --password-env DB_PW
  reattach probe amqps://probe@mq1/prod --password-file /run/secrets/probe --ca-file /etc/ssl/ca.pem
  reattach probe submission://relay.example.org --tls verify --timeout 5s
  reattach probe mysql://db1:3306/ --user probe --password-file pw --json | jq .facts
  consul kv get production/DATABASE_URL | reattach probe -`

// probeOptions are the flags of probe.
type probeOptions struct {
	json                              bool
	user, passwordEnv, passwordFile   string
	timeout                           time.Duration
	depth, tls                        string
	caFile, certFile, keyFile, server string
}

func newProbe(p *process) *cobra.Command {
	var o probeOptions
	cmd := &cobra.Command{
		Use:     "probe URL",
		Short:   "Have one conversation with a server, and say what it is evidence of",
		Long:    probeText,
		Example: probeExamples,
		Args:    oneArg("URL", "a server's URL, as mysql://app@db1.internal/orders, or - to read it from standard input"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return probeOnce(cmd.Context(), p, args[0], o)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var urls []string
			for _, s := range strings.Split(schemes(), ", ") {
				urls = append(urls, s+"://")
			}
			return urls, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.json, "json", false, "print the result as JSON: class, phase, code, error, timings_ms, facts")
	f.StringVarP(&o.user, "user", "u", "", "log in as this user, not as the URL's")
	f.StringVar(&o.passwordEnv, "password-env", "", "take the password from this environment variable")
	f.StringVar(&o.passwordFile, "password-file", "", "take the password from this file")
	f.Var(length{"timeout", &o.timeout}, "timeout", "for the whole conversation (default: the protocol's own)")
	f.StringVar(&o.depth, "depth", "", "how far to go: "+strings.Join(probe.DepthWords(), ", ")+" (default: the deepest without a trace)")
	f.StringVar(&o.tls, "tls", "", "off, prefer, require or verify (default: the scheme's own)")
	f.StringVar(&o.caFile, "ca-file", "", "trust these roots (PEM), not the system's")
	f.StringVar(&o.certFile, "cert-file", "", "client certificate (PEM)")
	f.StringVar(&o.keyFile, "key-file", "", "and its key (PEM)")
	f.StringVar(&o.server, "server-name", "", "expect this name in the certificate, not the URL's host")
	cmd.MarkFlagsMutuallyExclusive("password-env", "password-file")
	cmd.MarkFlagsRequiredTogether("cert-file", "key-file")
	complete(cmd, "tls", "off", "prefer", "require", "verify")
	complete(cmd, "depth", probe.DepthWords()...)
	return cmd
}

func probeOnce(ctx context.Context, p *process, text string, o probeOptions) error {
	protocol, target, err := probeTarget(p, text, o)
	if err != nil {
		return err
	}
	r := probe.Once(ctx, protocol, target)
	if o.json {
		err = writeJSON(p.out, resultJSON(target.URL, r))
	} else {
		_, err = io.WriteString(p.out, renderResult(p.paint, protocol, target, r))
	}
	if err != nil {
		return &exit{exitNo, err, ""}
	}
	if r.Failed() {
		return &exit{code: exitNo}
	}
	return nil
}

// probeTarget makes of the command line what a prober needs.
func probeTarget(p *process, text string, o probeOptions) (probe.Protocol, probe.Target, error) {
	if text == "-" {
		b, err := io.ReadAll(io.LimitReader(p.in, 64<<10))
		if err != nil {
			return probe.Protocol{}, probe.Target{}, &exit{exitWrong, fmt.Errorf("standard input: %w", err), ""}
		}
		text = strings.TrimSpace(string(b))
	}
	u, err := probe.ParseURL(text)
	if err != nil {
		return probe.Protocol{}, probe.Target{}, wrongf("for example mysql://app@db1.internal:3306/orders", "the URL cannot be read: %w", err)
	}
	protocol, ok := protocolOf(u.Scheme)
	if !ok {
		return protocol, probe.Target{}, wrongf("schemes: "+schemes(), "no protocol for %s://", u.Scheme)
	}
	t, err := o.target(u, protocol)
	if err != nil {
		return protocol, t, err
	}
	if err := credentials(p, &t, o); err != nil {
		return protocol, t, err
	}
	if protocol.Check != nil {
		if err := protocol.Check(t.URL); err != nil {
			return protocol, t, wrongf("", "%s cannot be probed: %w", t.URL, err)
		}
	}
	return protocol, t, nil
}

// target makes a target of the flags that say how to converse.
func (o probeOptions) target(u probe.URL, protocol probe.Protocol) (probe.Target, error) {
	t := probe.Target{URL: u, Timeout: o.timeout, Client: "reattach probe", Idle: time.Minute,
		TLS: probe.TLSConfig{CAFile: o.caFile, CertFile: o.certFile, KeyFile: o.keyFile, ServerName: o.server}}
	if t.Timeout == 0 {
		t.Timeout = protocol.Defaults.Timeout
	}
	if o.tls != "" {
		var err error
		if t.TLS.Mode, err = probe.ParseTLSMode(o.tls); err != nil {
			return t, wrongf("", "--tls: %w", err)
		}
	}
	if o.depth != "" {
		if t.Depth = probe.ParseDepth(o.depth); t.Depth == probe.PhaseNone {
			return t, wrongf("one of "+strings.Join(probe.DepthWords(), ", "), "--depth knows no %q", o.depth)
		}
	}
	return t, nil
}

// credentials puts user and password where the URL has them.
func credentials(p *process, t *probe.Target, o probeOptions) error {
	if o.user != "" {
		t.URL.User = o.user
	}
	switch {
	case o.passwordEnv != "":
		value, ok := p.env(o.passwordEnv)
		if !ok {
			return wrongf("", "--password-env: the environment variable %s is not set", o.passwordEnv)
		}
		t.URL.Password, t.URL.HasPass = probe.Secret(value), true
	case o.passwordFile != "":
		b, err := os.ReadFile(o.passwordFile)
		if err != nil {
			var e *os.PathError
			if errors.As(err, &e) {
				err = e.Err
			}
			return wrongf("", "--password-file %s: %w", o.passwordFile, err)
		}
		t.URL.Password, t.URL.HasPass = probe.Secret(strings.TrimRight(string(b), "\r\n")), true
	}
	return nil
}

// probeJSON is a result for programs.
type probeJSON struct {
	URL      probe.URL     `json:"url"`
	Class    probe.Class   `json:"class"`
	Evidence bool          `json:"evidence"` // of failure
	Phase    probe.Phase   `json:"phase"`
	Code     string        `json:"code"`
	Error    string        `json:"error"`
	Address  string        `json:"address"`
	Millis   float64       `json:"duration_ms"`
	Timings  probe.Timings `json:"timings_ms"`
	Facts    probe.Facts   `json:"facts"`
}

func resultJSON(u probe.URL, r probe.Result) probeJSON {
	facts := r.Facts
	if facts == nil {
		facts = probe.Facts{}
	}
	return probeJSON{URL: u, Class: r.Class, Evidence: r.Class.Evidence(), Phase: r.Phase, Code: r.Code, Error: r.Err,
		Address: r.Addr, Millis: float64(r.Ended.Sub(r.Began).Microseconds()) / 1000, Timings: r.Timings, Facts: facts}
}

func writeJSON(w io.Writer, v any) error {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	return out.Encode(v)
}

// oneArg wants exactly one argument, and says which.
func oneArg(name, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 && args[0] != "" {
			return nil
		}
		return wrongf(fmt.Sprintf("%s: %s", name, what), "%s wants one argument, and got %d", cmd.CommandPath(), len(args))
	}
}

// complete offers words for a flag.
func complete(cmd *cobra.Command, flag string, words ...string) {
	// It fails only for a flag that does not exist, which a test would see.
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}
