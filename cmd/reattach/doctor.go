package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/reattach/reattach/configs"
)

const doctorText = `Look at everything that a failover needs, and say of each thing whether it is well:
the configuration, the store and what its token may do, the handles, the clocks, this
machine, each endpoint's account, and who is told. With --template, also the
consul-template and envconsul configurations, templates and systemd units through
which applications read their handles: each file is read, and nothing in it is run.

Nothing is written, but by --notify-test, which has the daemon send a test to each
notifier. Run it on the observer's machine, as root (it then says which file the
daemon's account could not read) or as the daemon's user, and on each application's
machine with that machine's files.

Exit code 0 when there is no error (warnings are none), 1 otherwise.`

// Levels of a finding.
const (
	levelOK      = "ok"
	levelWarning = "warning"
	levelError   = "error"
)

// Groups of findings, in the order in which they are shown.
const (
	groupConfig    = "configuration"
	groupStore     = "store"
	groupHandles   = "handles"
	groupTemplates = "templates"
	groupClocks    = "clocks"
	groupHost      = "host"
	groupObservers = "observers"
	groupProbes    = "probes"
	groupNotifiers = "notifiers"
)

var doctorGroups = []string{groupConfig, groupStore, groupHandles, groupTemplates, groupClocks, groupHost, groupObservers, groupProbes, groupNotifiers}

// finding is one thing that the doctor looked at.
type finding struct {
	Group string `json:"group"`
	Level string `json:"level"`
	Text  string `json:"text"`           // one sentence
	Next  string `json:"next,omitempty"` // what to do; may have several lines
}

// examination is what the doctor finds, in the order in which it looks.
type examination struct {
	group    string
	findings []finding
}

func (x *examination) add(level, next, format string, args ...any) {
	x.findings = append(x.findings, finding{x.group, level, fmt.Sprintf(format, args...), next})
}

func (x *examination) ok(format string, args ...any) { x.add(levelOK, "", format, args...) }
func (x *examination) warn(next, format string, args ...any) {
	x.add(levelWarning, next, format, args...)
}
func (x *examination) fail(next, format string, args ...any) {
	x.add(levelError, next, format, args...)
}

func (x *examination) count(level string) (n int) {
	for _, f := range x.findings {
		if f.Level == level {
			n++
		}
	}
	return n
}

// doctorOptions are what the command line says.
type doctorOptions struct {
	paths, templates []string
	asJSON, notify   bool
}

func newDoctor(p *process) *cobra.Command {
	o := doctorOptions{}
	cmd := &cobra.Command{
		Use:   "doctor [--config PATH…] [--template FILE…]",
		Short: "Look at everything that a failover needs, and say what to mend",
		Long:  doctorText,
		Example: `  reattach doctor
  reattach doctor --config ./reattach.hcl
  reattach doctor --template /etc/orders/consul-template.hcl --template /etc/systemd/system/orders.service
  reattach doctor --json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return wrongf("reattach doctor --config "+args[0]+", or --template "+args[0], "reattach doctor takes files by --config and --template only")
			}
			return doctor(cmd.Context(), p, o)
		},
	}
	cmd.Flags().StringSliceVar(&o.paths, "config", []string{defaultConfig}, "file or directory; may be given several times")
	cmd.Flags().StringSliceVar(&o.templates, "template", nil, "consul-template or envconsul configuration, template, or systemd unit; may be given several times")
	cmd.Flags().BoolVar(&o.notify, "notify-test", false, "have the running daemon send a test to each notifier")
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print the findings as JSON")
	return cmd
}

func doctor(ctx context.Context, p *process, o doctorOptions) error {
	x := examine(ctx, p, o)
	var err error
	if x.count(levelError) > 0 {
		err = &exit{code: exitNo}
	}
	if o.asJSON {
		if e := writeJSON(p.out, struct {
			OK       bool      `json:"ok"`
			Errors   int       `json:"errors"`
			Warnings int       `json:"warnings"`
			Findings []finding `json:"findings"`
		}{err == nil, x.count(levelError), x.count(levelWarning), x.findings}); e != nil {
			return e
		}
		return err
	}
	if _, e := io.WriteString(p.out, x.render(p.paint, p.width)); e != nil {
		return e
	}
	return err
}

// examine looks at everything. What can be looked at without a configuration is
// looked at when there is none.
func examine(ctx context.Context, p *process, o doctorOptions) *examination {
	x := &examination{}
	conf, diags := configs.Load(o.paths, configOptions(p))
	x.configuration(conf, diags)
	if conf != nil {
		live := checkLive(ctx, conf)
		sight := x.store(ctx, conf, live)
		x.handles(live)
		x.templates(o.templates, conf)
		x.clocks(sight)
		x.host(ctx, conf, o.paths)
		x.readable(p.daemon, conf, o.paths)
		x.observers(ctx, conf)
		x.probes(conf, live, o.paths)
		x.notifiers(ctx, conf, o.notify)
	} else {
		x.templates(o.templates, nil)
	}
	slices.SortStableFunc(x.findings, func(a, b finding) int {
		return slices.Index(doctorGroups, a.Group) - slices.Index(doctorGroups, b.Group)
	})
	return x
}

func (x *examination) configuration(conf *configs.Config, diags configs.Diagnostics) {
	x.group = groupConfig
	for _, d := range diags {
		level := levelWarning
		if d.Severity == configs.Error {
			level = levelError
		}
		place := d.File
		if d.Line > 0 {
			place = fmt.Sprintf("%s:%d", d.File, d.Line)
		}
		x.add(level, d.Hint, "%s: %s", place, d.Message)
	}
	if conf == nil {
		x.fail("reattach check shows each mistake with its line", "the configuration cannot be used: only the files of --template were looked at")
		return
	}
	x.ok("%s, read as the daemon reads it", checkSummary(paint{}, conf, nil))
	observed := 0
	for _, r := range conf.Resources {
		if r.Mode.String() == "observe" {
			observed++
		}
		if len(r.Endpoints) < 2 {
			x.warn("add a standby to it", "%s has one endpoint: there is nothing to switch to", r.Name)
		}
	}
	if observed > 0 {
		x.ok("%s only watched (mode = \"observe\"): nothing is switched there", isAre(observed, "resource"))
	}
}

// isAre counts in a sentence: "1 resource is", "3 resources are".
func isAre(n int, word string) string {
	if n == 1 {
		return plural(n, word) + " is"
	}
	return plural(n, word) + " are"
}

// probes says of each endpoint what one conversation with it showed.
func (x *examination) probes(conf *configs.Config, live *liveReport, paths []string) {
	x.group = groupProbes
	for _, r := range live.Resources {
		def, slow := conf.Resource(r.Name), ""
		well, slowest := 0, 0.0
		for _, e := range r.Endpoints {
			look := closerLook(conf, paths, targetOf(def, e))
			if !x.endpoint(r, e, look) {
				continue
			}
			if well++; e.Millis > slowest {
				slowest, slow = e.Millis, look
			}
		}
		if well > 0 {
			x.ok("%s: %d of %s in order, account included (%s at most)", r.Name, well, plural(len(r.Endpoints), "endpoint"), rounded(slowest))
		}
		if def != nil && len(def.Endpoints) > 0 && slowest > def.Endpoints[0].Target.Timeout.Seconds()*500 {
			x.warn(slow+"\na longer timeout makes detection slower",
				"%s: a conversation took more than half of its timeout (%v)", r.Name, def.Endpoints[0].Target.Timeout)
		}
	}
}

// rounded is a duration in milliseconds as people say it.
func rounded(millis float64) string {
	d := time.Duration(millis * float64(time.Millisecond))
	switch {
	case d < 10*time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	default:
		return d.Round(time.Millisecond).String()
	}
}
