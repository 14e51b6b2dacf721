package main

import (
	"context"
	"log/slog"
	"net/url"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"github.com/reattach/reattach/configs"
	"github.com/reattach/reattach/failover"
	command "github.com/reattach/reattach/failover/hook"
	"github.com/reattach/reattach/probe"
)

// runCommand runs a step, as every step is run.
func runCommand(ctx context.Context, s failover.RunStep) command.Outcome {
	return command.Run(ctx, command.Command{Argv: s.Argv, Env: s.Env}, s.Deadline)
}

// stepRunner runs the commands around a switch. What one has written goes to the
// log, for whoever finds out why it failed; it is never told on.
func stepRunner(log *slog.Logger) func(context.Context, failover.RunStep) failover.StepOutcome {
	return func(ctx context.Context, s failover.RunStep) failover.StepOutcome {
		log.Info("step begins", "resource", s.Resource, "step", s.Step, "to", s.Env["TO"], "attempt", s.Env["ATTEMPT"])
		o := runCommand(ctx, s)
		level := slog.LevelInfo
		if !o.OK {
			level = slog.LevelWarn
		}
		log.Log(ctx, level, "step ended", "resource", s.Resource, "step", s.Step, "ok", o.OK, "why", o.Why, "seconds", o.Took.Seconds(), "output", o.Output)
		return failover.StepOutcome{OK: o.OK, Why: o.Why, Took: o.Took, Late: o.Late}
	}
}

// rehearsals run steps for a person who tries them: in the daemon's place, with
// its account and its environment.
type rehearsals struct{ s *service }

// Rehearse implements httpapi.Rehearser.
func (r rehearsals) Rehearse(ctx context.Context, resource, step, to string) (failover.Rehearsal, error) {
	run, err := r.s.daemon.Rehearse(ctx, resource, step, to)
	if err != nil {
		return failover.Rehearsal{}, err
	}
	r.s.log.Info("dry run of a step begins", "resource", resource, "step", step, "to", run.Env["TO"])
	out := rehearse(ctx, run, r.s.conf.Load())
	if ctx.Err() != nil {
		out.Why = "killed: nobody waits for its end any more"
	}
	r.s.log.Info("dry run of a step ended", "resource", resource, "step", step, "ok", out.OK, "why", out.Why, "seconds", out.Seconds)
	return out, nil
}

// rehearse runs a step and tells how it went, without the configuration's secrets.
func rehearse(ctx context.Context, s failover.RunStep, conf *configs.Config) failover.Rehearsal {
	mask := masker(conf, s.Resource)
	timeout, _ := strconv.ParseFloat(s.Env["TIMEOUT_SECONDS"], 64) // as the engine wrote it
	o := runCommand(ctx, s)
	out := failover.Rehearsal{Resource: s.Resource, Step: s.Step, Account: accountName(), Env: map[string]string{}, OK: o.OK, Code: o.Code,
		Why: o.Why, Output: mask.Replace(o.Output), Seconds: o.Took.Seconds(), Timeout: timeout}
	for _, word := range s.Argv {
		out.Command = append(out.Command, mask.Replace(word))
	}
	for name, value := range s.Env {
		out.Env["REATTACH_"+name] = value
	}
	return out
}

// accountName is who runs what this process starts.
func accountName() string {
	uid := strconv.Itoa(os.Getuid())
	if u, err := user.LookupId(uid); err == nil {
		return u.Username
	}
	return "uid " + uid
}

// leastMasked is the length in bytes from which on a secret is looked for: a
// shorter one would mask what has nothing to do with it.
const leastMasked = 4

// masker hides the secrets of a resource's endpoints where a command shows them.
func masker(conf *configs.Config, resource string) *strings.Replacer {
	var secrets []string
	for _, r := range conf.Resources {
		if r.Name != resource {
			continue
		}
		for _, e := range r.Endpoints {
			_, passwords := e.Target.Credentials()
			for _, p := range append([]probe.Secret{e.Target.URL.Password}, passwords...) {
				secrets = append(secrets, p.Reveal(), url.QueryEscape(p.Reveal()))
			}
		}
	}
	// The longest first: one may be a part of another.
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, s := range secrets {
		if len(s) >= leastMasked {
			pairs = append(pairs, s, probe.Mask)
		}
	}
	return strings.NewReplacer(pairs...)
}
