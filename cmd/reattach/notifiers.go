package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/reattach/reattach/configs"
	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/notify"
	"github.com/reattach/reattach/probe"
)

// routing is what the outbox needs of a configuration. An error names the
// notifier whose settings cannot be used.
func routing(conf *configs.Config, log *slog.Logger) (notify.Routing, error) {
	out := notify.Routing{Routes: conf.Routes, Runbook: conf.Runbook}
	for _, n := range conf.Notifiers {
		sender, err := newSender(n, page(conf), log)
		if err != nil {
			return out, fmt.Errorf("notifier %q: %w", n.Name, err)
		}
		severity, _ := failover.ParseSeverity(n.Severity) // checked with the configuration
		out.Destinations = append(out.Destinations, notify.Destination{Name: n.Name, Kind: n.Kind, Sender: sender,
			Severity: severity, Events: n.Events, Resolve: n.Resolve, Timeout: n.Timeout})
	}
	return out, nil
}

// newSender makes what speaks to a destination. Nothing is dialled.
func newSender(n configs.Notifier, page string, log *slog.Logger) (notify.Sender, error) {
	tls := probe.TLSConfig{CAFile: n.TLS.CAFile, CertFile: n.TLS.CertFile, KeyFile: n.TLS.KeyFile, ServerName: n.TLS.ServerName}
	verified := tls
	verified.Mode = probe.TLSVerify
	switch n.Kind {
	case "exec":
		return notify.NewExec(n.Command)
	case "webhook":
		return notify.NewWebhook(notify.WebhookOptions{URL: n.URL, Secret: n.Secret, Token: n.Token, Body: n.Body, TLS: verified})
	case "slack":
		return notify.NewSlack(notify.SlackOptions{URL: n.URL})
	case "pagerduty":
		return notify.NewPagerDuty(notify.PagerDutyOptions{RoutingKey: n.RoutingKey, URL: n.URL, Page: page})
	case "alertmanager":
		return notify.NewAlertmanager(notify.AlertmanagerOptions{URLs: n.URLs, Token: n.Token, TLS: verified, Page: page})
	case "email":
		return notify.NewEmail(notify.EmailOptions{SMTP: n.SMTP, From: n.From, To: n.To, Username: n.Username, Password: n.Password, TLS: tls, Log: log})
	}
	return nil, fmt.Errorf("there is no kind %q", n.Kind)
}

// page is where people on other machines find the daemon's page; empty where
// the configuration does not say.
func page(conf *configs.Config) string {
	for _, p := range conf.Observer.Peers {
		if p.Name == conf.Observer.Name && p.URL != "" {
			return p.URL
		}
	}
	host, _, err := net.SplitHostPort(conf.Listen.HTTP)
	if err != nil || host == "" || host == "localhost" {
		return ""
	}
	if ip, err := netip.ParseAddr(host); err == nil && (ip.IsLoopback() || ip.IsUnspecified()) {
		return ""
	}
	return "http://" + conf.Listen.HTTP
}

// lastWords bounds how long the end of the daemon waits for what it told last to
// be taken. What is not taken is told after the next start.
const lastWords = 2 * time.Second

// telling runs the outbox: longer than the daemon, whose last words it hands on.
func (s *service) telling(ctx context.Context) error {
	own, end := context.WithCancel(context.WithoutCancel(ctx))
	var group sync.WaitGroup
	defer group.Wait()
	defer end()
	group.Go(func() {
		defer end()
		select {
		case <-s.silent:
			s.handOn(own)
		case <-own.Done(): // the outbox ended by itself
		}
	})
	return s.outbox.Run(own)
}

// handOn waits, within a bound, until nothing is on its way to anybody.
func (s *service) handOn(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lastWords)
	defer cancel()
	tick := time.NewTicker(lastWords / 40)
	defer tick.Stop()
	for slices.ContainsFunc(s.outbox.Notifiers(), onItsWay) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// onItsWay reports whether a destination is being told something. One that
// failed is not waited for.
func onItsWay(n failover.NotifierStatus) bool { return n.Pending > 0 && n.Error == "" }

// watching runs the daemon.
func (s *service) watching(ctx context.Context) error {
	defer close(s.silent)
	return s.daemon.Run(ctx)
}

// openOutbox opens what keeps notices and hands them on.
func (s *service) openOutbox(conf *configs.Config) error {
	where, err := routing(conf, s.log)
	if err != nil {
		return &exit{exitWrong, err, ""}
	}
	path := filepath.Join(conf.Observer.StateDir, "notices.db")
	if s.outbox, err = notify.Open(path, notify.Options{Log: s.log, Observer: conf.Observer.Name}); err != nil {
		return &exit{exitUnreachable, fmt.Errorf("notices: %w", err), "does another reattach run here? Each has a state_dir of its own"}
	}
	s.outbox.Configure(where)
	return nil
}

// desk answers what people ask of the notices: it is the daemon's journal for
// the doors.
type desk struct {
	daemon *failover.Daemon
	outbox *notify.Outbox
}

// Events implements httpapi.Events.
func (d desk) Events(ctx context.Context, after uint64, resource string, limit int) ([]failover.Told, error) {
	return d.daemon.Events(ctx, after, resource, limit)
}

// Wait implements httpapi.Events.
func (d desk) Wait(ctx context.Context, after uint64) error { return d.outbox.Wait(ctx, after) }

// Test implements httpapi.Tester.
func (d desk) Test(ctx context.Context, name string) error {
	return testBy(ctx, d.outbox, name)
}
