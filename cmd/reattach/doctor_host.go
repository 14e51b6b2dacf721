package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reattach/reattach/configs"
	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/httpapi"
	"github.com/reattach/reattach/probe"
)

const (
	descriptorsEach = 5        // of an endpoint at worst: a session, a fresh conversation, three probes in suspicion
	descriptorsElse = 100      // store, doors, files, scrapes
	spaceWanted     = 64 << 20 // bytes free in state_dir
	expiryTold      = 21       // days that a certificate still has
)

// host looks at this machine.
func (x *examination) host(ctx context.Context, conf *configs.Config, paths []string) {
	x.group = groupHost
	endpoints := 0
	for _, r := range conf.Resources {
		endpoints += len(r.Endpoints)
	}
	x.descriptors(endpoints, conf.Listen.Socket)
	x.stateDir(conf.Observer.StateDir)
	x.doors(ctx, conf)
	x.secrets(conf, paths)
}

// descriptors compares what endpoints may take with what the daemon may have; where
// none runs, with what it would have if it were started from here.
func (x *examination) descriptors(endpoints int, socket string) {
	want := uint64(endpoints*descriptorsEach + descriptorsElse)
	allowed, running := daemonDescriptors(socket)
	where := "the daemon"
	if !running {
		var limit unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			x.warn("", "the limit of file descriptors cannot be read: %v", err)
			return
		}
		allowed, where = limit.Max, "this shell" // Go raises the soft limit to the hard one at its start
	}
	if allowed < want {
		x.fail("LimitNOFILE= in the unit, or ulimit -n: at least "+fmt.Sprint(want), "%d file descriptors are allowed in %s, and %s may take %d: beyond the limit reattach judges nobody",
			allowed, where, plural(endpoints, "endpoint"), want)
		return
	}
	x.ok("%d file descriptors are allowed in %s, and %s take %d at most", allowed, where, plural(endpoints, "endpoint"), want)
}

func (x *examination) stateDir(dir string) {
	const why = "what was seen last is kept there, and notices that were not delivered yet"
	at := dir
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		at = filepath.Dir(dir)
	}
	if err := unix.Access(at, unix.W_OK); err != nil {
		x.fail("make it the daemon's own: chown, or StateDirectory= in the unit", "state_dir %s cannot be written by this user: %v; %s", dir, err, why)
		return
	}
	var space unix.Statfs_t
	if err := unix.Statfs(at, &space); err == nil {
		if free := space.Bavail * uint64(space.Bsize); free < spaceWanted {
			x.fail("make room", "state_dir %s has %d MiB left; %s", dir, free>>20, why)
			return
		}
	}
	if at != dir {
		x.ok("state_dir %s is not there yet, and the daemon can create it", dir)
		return
	}
	x.ok("state_dir %s can be written, and has room", dir)
}

// doors looks at the addresses on which the daemon listens, or would.
func (x *examination) doors(ctx context.Context, conf *configs.Config) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	seen, err := askDaemon(ctx, conf.Listen.Socket)
	running := err == nil
	switch {
	case running:
		x.ok("the daemon runs, and answers on %s", conf.Listen.Socket)
		x.delivery(seen.status.Notifiers)
	case errors.Is(err, os.ErrPermission):
		x.warn("run this as the daemon's user", "the daemon's socket %s may not be opened by this user", conf.Listen.Socket)
	default:
		x.warn("reattach run, or systemctl start reattach", "no daemon answers on %s: nothing is watched", conf.Listen.Socket)
	}
	if conf.Listen.HTTP == "" {
		return
	}
	if !running {
		x.canListen(conf.Listen.HTTP)
	}
	if conf.Listen.Pprof && !loopback(conf.Listen.HTTP) {
		x.warn("pprof = false, or an address of loopback", "listen.http offers Go's profiles on %s, to everybody who reaches it", conf.Listen.HTTP)
	}
}

// delivery says which destinations do not take what the daemon hands them.
func (x *examination) delivery(all []failover.NotifierStatus) {
	defer func(group string) { x.group = group }(x.group)
	x.group = groupNotifiers
	for _, n := range all {
		next := "reattach notify test " + n.Name
		if n.Error != "" {
			x.fail(next, "notifier %s did not take the last message (%s); %s for it", n.Name, n.Error, wait(n.Pending))
		}
		if n.Dead > 0 {
			x.warn(next+", and reattach events for what was missed", "notifier %s: %s given up", n.Name, wasWere(n.Dead, "notice"))
		}
	}
}

func wait(n int) string {
	if n == 1 {
		return "1 notice waits"
	}
	return plural(n, "notice") + " wait"
}

func wasWere(n int, word string) string {
	if n == 1 {
		return plural(n, word) + " was"
	}
	return plural(n, word) + " were"
}

func (x *examination) canListen(address string) {
	ln, err := net.Listen("tcp", address)
	switch {
	case err == nil:
		_ = ln.Close()
		x.ok("listen.http %s is free", address)
	case errors.Is(err, unix.EADDRINUSE):
		x.fail("ss -ltnp shows who; listen { http = … } names another", "listen.http %s is taken by another program", address)
	default:
		x.fail("is the address this machine's? listen { http = … } names another", "listen.http %s cannot be listened on: %v", address, err)
	}
}

// loopback reports whether host:port is of this machine alone.
func loopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.IsLoopback()
	}
	return host == "localhost"
}

// secrets looks at who may read the files that hold some.
func (x *examination) secrets(conf *configs.Config, paths []string) {
	files := []string{conf.Store.Consul.TLS.KeyFile}
	for _, f := range conf.Files {
		files = append(files, f.Path)
	}
	open := 0
	for _, path := range files {
		if path == "" {
			continue
		}
		if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o007 != 0 {
			open++
			x.warn("chmod o= "+path, "%s holds a secret, and every user of this machine may read it (%v)", path, info.Mode().Perm())
		}
	}
	if len(files) > 1 && open == 0 {
		x.ok("the files of %s may not be read by everybody", plural(len(files)-1, "secret"))
	}
	if inline(paths) {
		x.warn("chmod o= them, or keep the secrets in files of their own: file(\"/run/secrets/…\")", "the configuration holds URLs with passwords, and every user of this machine may read it")
	}
}

// inline reports whether a file of the configuration that everybody may read has
// a password in a URL.
func inline(paths []string) bool {
	for _, path := range paths {
		files := []string{path}
		if more, err := filepath.Glob(filepath.Join(path, "*.hcl")); err == nil {
			files = append(files, more...)
		}
		for _, file := range files {
			info, err := os.Stat(file)
			if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o004 == 0 {
				continue
			}
			text, err := os.ReadFile(file)
			if err == nil && hasPassword(string(text)) {
				return true
			}
		}
	}
	return false
}

// hasPassword reports whether a text has a URL with a password written out.
func hasPassword(text string) bool {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		_, rest, found := strings.Cut(line, "://")
		if !found {
			continue
		}
		user, _, found := strings.Cut(rest, "@")
		if _, password, has := strings.Cut(user, ":"); found && has && password != "" && !strings.ContainsAny(password, "/?\"") && !strings.HasPrefix(password, "${") {
			return true
		}
	}
	return false
}

// endpoint says what is wrong with an endpoint, and the command that looks closer;
// or it returns true.
func (x *examination) endpoint(r liveResource, e liveEndpoint, look string) bool {
	name := r.Name + "/" + e.Name
	next := meanings[e.Class] + "\n" + look
	if e.Code == "1044" { // MySQL turns an account away that has no right in the database
		next = fmt.Sprintf("GRANT SHOW VIEW ON %s.* TO that account, or any other right there; or is there no such database?\n%s", strings.Trim(e.URL.Path, "/"), look)
	}
	outcome := strings.TrimSpace(e.Phase.String() + ": " + strings.TrimSpace(e.Code+" "+strings.TrimPrefix(e.Error, e.Code)))
	switch {
	case e.Class == probe.OK:
		x.certificate(name, e.Facts)
		return x.shown(r, e)
	case e.Class == probe.Overloaded || e.Class == probe.Degraded:
		x.warn(next, "%s is %s (%s)", name, e.Class, outcome)
	case e.Class == probe.NoAddress || (e.Class == probe.Local && e.Phase == probe.PhaseResolve):
		x.fail(next+"\nresolvectl query, or getent hosts "+e.URL.Host, "%s: the nameserver gives no address (%s)", name, outcome)
	default:
		x.fail(next, "%s is %s (%s)", name, e.Class, outcome)
	}
	return false
}

// certificate tells of a server's certificate that ends soon.
func (x *examination) certificate(name string, facts probe.Facts) {
	expiry, _ := facts["tls_expiry"].(string)
	at, err := time.Parse(time.RFC3339, expiry)
	if err != nil { // the conversation was without TLS
		return
	}
	if days := int(time.Until(at).Hours() / 24); days < expiryTold {
		x.warn("renew it: an expired one is no reason for a failover, and applications cannot connect", "%s: its certificate expires in %s", name, plural(days, "day"))
	}
}

// notifiers looks at who is told, without telling anybody; unless send is set.
func (x *examination) notifiers(ctx context.Context, conf *configs.Config, send bool) {
	x.group = groupNotifiers
	if len(conf.Notifiers) == 0 {
		x.warn("add a notifier block: configs/reference.hcl shows each kind", "nobody is told of anything: there is no notifier, only the log, status and metrics")
		return
	}
	var untold []string
	for _, r := range conf.Resources {
		if len(conf.Routes[r.Name]) == 0 {
			untold = append(untold, r.Name)
		}
	}
	if len(untold) > 0 {
		x.warn("notify = [\"…\"] in the resource, or in defaults", "nobody is told of %s", strings.Join(untold, ", "))
	}
	if len(conf.Routes[""]) == 0 {
		x.warn("notify = [\"…\"] in defaults", "nobody is told of what concerns no single resource: a store that is lost, a configuration that was not read again")
	}
	for _, n := range conf.Notifiers {
		x.notifier(ctx, conf, n, send)
	}
}

func (x *examination) notifier(ctx context.Context, conf *configs.Config, n configs.Notifier, send bool) {
	if n.Kind == "exec" && len(n.Command) > 0 {
		if _, err := exec.LookPath(n.Command[0]); err != nil {
			x.fail("is it there, and executable by the daemon's user?", "notifier %s cannot run %s: %v", n.Name, n.Command[0], err)
			return
		}
	}
	for _, secret := range append([]probe.Secret{n.URL}, n.URLs...) {
		if u := secret.Reveal(); strings.HasPrefix(u, "http://") && !loopback(strings.SplitN(strings.TrimPrefix(u, "http://"), "/", 2)[0]) {
			x.warn("use https://", "notifier %s sends unencrypted", n.Name)
		}
	}
	if !send {
		x.ok("notifier %s (%s) is written as it should be; reattach notify test %s tries it", n.Name, n.Kind, n.Name)
		return
	}
	answer, err := httpapi.NewClient(conf.Listen.Socket).Test(ctx, n.Name)
	switch {
	case err != nil:
		x.fail("is the daemon running? reattach status", "notifier %s cannot be tried: %v", n.Name, asked(err, conf.Listen.Socket))
	case !answer.Done:
		x.fail(answer.Hint, "notifier %s", answer.Text)
	default:
		x.ok("notifier %s", answer.Text)
	}
}
