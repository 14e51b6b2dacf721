package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"sync/atomic"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"

	"github.com/reattach/reattach/configs"
	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/embedded"
	"github.com/reattach/reattach/failover/httpapi"
	"github.com/reattach/reattach/failover/metrics"
	"github.com/reattach/reattach/failover/notify"
	"github.com/reattach/reattach/probe"
)

const runText = `Watch what the configuration names, and switch what fails.

It stays in the foreground and logs to standard error: text on a terminal, JSON
otherwise. SIGHUP reads the configuration again; one with a mistake is reported, and the
running one stays. Files named by file() and token_file are read again by themselves when
they change, and nothing else.
SIGTERM and SIGINT end it in order: no conversation, ballot or file is left half done.
Under systemd (Type=notify-reload) it says when it is ready, reloads and stops, how it is
in one line, and, with WatchdogSec, that it lives, as long as its decisions go on.

Exit code 0 after SIGTERM or SIGINT, 2 when the configuration cannot be used, 3 when the
embedded store is in use or another daemon has the socket, 1 when it cannot go on.`

func newRun(p *process) *cobra.Command {
	var paths []string
	var level, format string
	cmd := &cobra.Command{
		Use:     "run",
		Short:   "The daemon",
		Long:    runText,
		Example: "  reattach run\n  reattach run --config ./reattach.hcl --log-level debug",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := newLog(p, level, format)
			if err != nil {
				return err
			}
			return run(cmd.Context(), p, paths, log)
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&paths, "config", "c", []string{defaultConfig}, "a file, or a directory of *.hcl and *.json files; may be repeated")
	f.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&format, "log-format", "auto", "auto, text or json")
	complete(cmd, "log-level", "debug", "info", "warn", "error")
	complete(cmd, "log-format", "auto", "text", "json")
	return cmd
}

func newLog(p *process, level, format string) (*slog.Logger, error) {
	var o slog.HandlerOptions
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, wrongf("debug, info, warn or error", "--log-level: unknown level %q", level)
	}
	o.Level = l
	switch {
	case format == "text", format == "auto" && p.errTTY:
		return slog.New(slog.NewTextHandler(p.err, &o)), nil
	case format == "json", format == "auto":
		return slog.New(slog.NewJSONHandler(p.err, &o)), nil
	}
	return nil, wrongf("auto, text or json", "--log-format: unknown format %q", format)
}

// service is a daemon with its doors, put together.
type service struct {
	paths   []string
	options configs.Options
	log     *slog.Logger
	conf    atomic.Pointer[configs.Config] // in force
	store   *opened
	outbox  *notify.Outbox
	daemon  *failover.Daemon
	manager *supervisor   // nil: nobody asked to be told
	silent  chan struct{} // closed once the daemon has told everything
	metrics *metrics.Metrics
	scrape  http.Handler
	hint    chan struct{} // our credentials were rejected: look at the secrets' files
	secrets secrets       // this and the next belong to reloads
	refused refused
	peers   *httpapi.Peers
}

// run is the daemon, from reading its configuration to its end.
func run(ctx context.Context, p *process, paths []string, log *slog.Logger) error {
	// From here on a SIGHUP is for us: it must not end a daemon that starts.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	s := &service{paths: paths, options: configOptions(p), log: log, hint: make(chan struct{}, 1), silent: make(chan struct{}), peers: httpapi.NewPeers()}
	conf, diags := configs.Load(paths, s.options)
	if conf == nil {
		return unusable(p, paths, diags)
	}
	for _, d := range diags {
		log.Warn(d.Message, "file", d.File, "line", d.Line, "hint", d.Hint)
	}
	s.conf.Store(conf)
	parts, err := s.assemble(conf)
	if err != nil {
		return err
	}
	defer s.store.close()
	defer s.outbox.Close()
	parts = append(parts, part{"reload", func(ctx context.Context) error { return s.reloads(ctx, hangups) }})
	s.announce(conf)
	if err := runAll(ctx, parts); err != nil {
		return &exit{exitNo, err, ""}
	}
	log.Info("ended in order")
	return nil
}

// assemble opens store and doors, and returns everything that is to run. On an
// error it has closed what it opened.
func (s *service) assemble(conf *configs.Config) (parts []part, err error) {
	var closers []func() error
	defer func() {
		if err != nil {
			for _, c := range slices.Backward(closers) {
				_ = c()
			}
		}
	}()
	if s.store, err = openStore(conf, func() probe.Secret { return s.conf.Load().Store.Consul.Token }, true); err != nil {
		return nil, storeExit(err)
	}
	closers = append(closers, s.store.close)
	if err := os.MkdirAll(conf.Observer.StateDir, 0o700); err != nil {
		return nil, &exit{exitNo, fmt.Errorf("state_dir: %w", err), ""}
	}
	if err := s.openOutbox(conf); err != nil {
		return nil, err
	}
	closers = append(closers, s.outbox.Close)
	if err := s.build(conf); err != nil {
		return nil, &exit{exitNo, err, ""}
	}
	if s.manager, err = newSupervisor(s.daemon, s.log); err != nil {
		return nil, &exit{exitWrong, err, "systemd sets WATCHDOG_USEC by WatchdogSec="}
	}
	socket, err := httpapi.ListenSocket(conf.Listen.Socket)
	if err != nil {
		return nil, socketExit(err)
	}
	closers = append(closers, socket.Close)
	parts = []part{{"notices", s.telling}, {"daemon", s.watching}, {"socket", s.serve(socket, s.api(conf, true))}}
	if conf.Listen.HTTP != "" {
		public, err := net.Listen("tcp", conf.Listen.HTTP)
		if err != nil {
			return nil, &exit{exitNo, fmt.Errorf("listen.http: %w", err), ""}
		}
		parts = append(parts, part{"http", s.serve(public, s.api(conf, false))})
	}
	if s.manager != nil {
		parts = append(parts, part{"service manager", s.manager.run})
	}
	return parts, nil
}

// build makes daemon and metrics.
func (s *service) build(conf *configs.Config) error {
	engine := engineConfig(conf)
	engine.Active = s.outbox.Active()
	m := metrics.New(engine, buildVersion())
	daemon, err := failover.NewDaemon(failover.Options{
		Config: engine, Store: s.store, Log: s.log, StateDir: conf.Observer.StateDir,
		Taps: []failover.Tap{m, rejected{s.hint}}, Version: buildVersion(), Journal: s.outbox, RunStep: stepRunner(s.log), Ask: s.ask,
	})
	if err != nil {
		return err
	}
	s.daemon, s.metrics = daemon, m
	reg := prometheus.NewRegistry()
	if err := errors.Join(m.Register(reg, daemon), reg.Register(collectors.NewGoCollector()),
		reg.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))); err != nil {
		return err
	}
	s.scrape = promhttp.HandlerFor(reg, promhttp.HandlerOpts{MaxRequestsInFlight: 4, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn)})
	return nil
}

// api is what a door offers: commands through the socket, handles in the open.
func (s *service) api(conf *configs.Config, private bool) httpapi.API {
	notices := desk{s.daemon, s.outbox}
	api := httpapi.API{Reader: s.daemon, Health: s.daemon, Observer: s.daemon, Events: notices, Metrics: s.scrape, Pprof: conf.Listen.Pprof, Log: s.log}
	if private {
		api.Commander, api.Tester, api.Rehearser = s.daemon, notices, rehearsals{s}
		return api
	}
	if s.store.embedded != nil {
		o := embedded.Options{Keys: s.keys}
		if conf.Listen.Token != "" || conf.Listen.TokenFile != "" {
			o.Token = func() string { return s.conf.Load().Listen.Token.Reveal() }
		}
		api.KV = embedded.Handler(s.store.embedded, o)
	}
	return api
}

// keys returns the configured handles.
func (s *service) keys() []string {
	var out []string
	for _, r := range s.conf.Load().Resources {
		for _, h := range r.Handles {
			out = append(out, h.Key)
		}
	}
	return out
}

func (s *service) serve(ln net.Listener, api httpapi.API) func(context.Context) error {
	return func(ctx context.Context) error { return httpapi.Serve(ctx, ln, api.Handler(), s.log) }
}

// ask asks another observer how it is, at the URL that is configured now.
func (s *service) ask(ctx context.Context, observer string) (failover.Health, error) {
	for _, p := range s.conf.Load().Observer.Peers {
		if p.Name == observer {
			return s.peers.Ask(ctx, observer, p.URL)
		}
	}
	return failover.Health{}, errors.New("it is not configured any more")
}

// announce says what is watched, where, and which doors are open.
func (s *service) announce(conf *configs.Config) {
	where := conf.Store.Consul.Address
	if conf.Store.Kind == configs.Embedded {
		where = conf.Store.Embedded.Path
	}
	s.log.Info("reattach starts", "version", buildVersion(), "observer", conf.Observer.Name, "zone", conf.Observer.Zone,
		"store", string(conf.Store.Kind), "at", where, "socket", conf.Listen.Socket, "http", conf.Listen.HTTP)
	for _, r := range conf.Resources {
		var endpoints, handles []string
		for _, e := range r.Endpoints {
			endpoints = append(endpoints, e.Name+" "+e.Target.URL.String())
		}
		for _, h := range r.Handles {
			handles = append(handles, h.Key)
		}
		s.log.Info("watching", "resource", r.Name, "mode", r.Mode.String(), "endpoints", endpoints, "handles", handles, "sustain", r.Judge.Sustain.String())
	}
}

func storeExit(err error) error {
	hint := ""
	if errors.Is(err, embedded.ErrLocked) {
		hint = "does another reattach run here?"
	}
	return &exit{exitUnreachable, fmt.Errorf("store: %w", err), hint}
}

func socketExit(err error) error {
	if errors.Is(err, httpapi.ErrAlive) {
		return &exit{exitUnreachable, err, "one daemon a socket: listen { socket = … } names another"}
	}
	return &exit{exitNo, err, "listen { socket = … } names another place"}
}
