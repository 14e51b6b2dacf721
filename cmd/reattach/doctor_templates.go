package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/reattach/reattach/configs"
	"github.com/reattach/reattach/failover"
)

const (
	staleTold   = 10 * time.Second // of max_stale
	backoffTold = 15 * time.Second // of max_backoff
)

// readers is what is known of the files that were shown, and of the handles.
type readers struct {
	x       *examination
	handles map[string]string // key: its resource; nil without a configuration
	read    map[string]bool   // handles that some file reads
	signals map[string]string // KillSignal by the program that a unit starts
}

// templates looks at the files by which applications read their handles.
func (x *examination) templates(paths []string, conf *configs.Config) {
	x.group = groupTemplates
	if len(paths) == 0 {
		return
	}
	rs := readers{x: x, read: map[string]bool{}, signals: map[string]string{}}
	if conf != nil {
		rs.handles = map[string]string{}
		for _, r := range conf.Resources {
			for _, h := range r.Handles {
				rs.handles[h.Key] = r.Name
			}
		}
	}
	all := map[string]*reader{}
	for _, path := range paths {
		r, err := readReader(path)
		if err != nil {
			x.warn("nothing was looked at in it", "%s cannot be read: %v", path, err)
			continue
		}
		all[path] = r
		if r.kind == kindUnit {
			rs.unit(r)
		}
	}
	for _, path := range paths {
		if r := all[path]; r != nil {
			rs.look(r)
		}
	}
	rs.unread()
}

func (rs *readers) look(r *reader) {
	switch r.kind {
	case kindText:
		rs.template(r.path, r.text, "", "")
	case kindTemplate:
		rs.consul(r)
		rs.wait(r)
		rs.ends(r)
		rs.child(r)
		for i, t := range r.conf.blocks("template") {
			rs.stanza(r, t, i)
		}
	case kindEnvconsul:
		rs.consul(r)
		rs.wait(r)
		rs.ends(r)
		rs.child(r)
		rs.prefixes(r)
		rs.installed()
	}
}

// consul looks at how the program asks Consul.
func (rs *readers) consul(r *reader) {
	consul := r.conf.block("consul")
	retry := consul.block("retry")
	what := "consul-template exits"
	if r.kind == kindEnvconsul {
		what = "envconsul stops asking, and lives on without saying so,"
	}
	const line = "consul { retry { attempts = 0 } }: without end"
	switch attempts := retry.text("attempts"); {
	case retry.text("enabled") == "false":
		rs.x.warn(line, "%s: retry is switched off: %s after one failed request", r.path, what)
	case attempts == "":
		rs.x.warn(line, "%s: %s after 12 failed attempts, which is its default", r.path, what)
	case attempts != "0":
		rs.x.warn(line, "%s: %s after %s failed attempts", r.path, what, attempts)
	default:
		rs.x.ok("%s: it goes on asking while Consul is away", r.path)
	}
	if most, set := duration(retry.text("max_backoff")); !set || most == 0 || most > backoffTold {
		was := "a minute, its default"
		if set {
			was = most.String()
		}
		rs.x.warn("consul { retry { max_backoff = \"5s\" } }", "%s: after an outage of Consul it may wait for up to %s before it asks again", r.path, was)
	}
	if most, set := duration(r.conf.text("max_stale")); set && most > staleTold {
		rs.x.warn("max_stale = \"2s\", its default", "%s: it takes answers that are %v old, from a server that is cut off from its leader", r.path, most)
	}
	if r.kind == kindEnvconsul && consul.has("token_file") {
		rs.x.warn("Environment=CONSUL_HTTP_TOKEN_FILE=… in its unit", "%s: envconsul does not use token_file (0.13.2 to 0.13.4 do not): it would ask without a token, and see no key", r.path)
	}
	if info, err := os.Stat(r.path); err == nil && consul.text("token") != "" && info.Mode().Perm()&0o007 != 0 {
		rs.x.warn("chmod o= "+r.path, "%s holds a token, and every user of this machine may read it", r.path)
	}
}

// wait looks at whether several changes become one.
func (rs *readers) wait(r *reader) {
	if r.conf.has("wait") {
		return
	}
	own := r.conf.blocks("template")
	if len(own) > 0 && !slices.ContainsFunc(own, func(t settings) bool { return !t.has("wait") }) {
		return
	}
	what := "handles that change in one transaction may each restart the application, for each is a query of its own"
	if r.kind == kindEnvconsul {
		what = "keys that change one soon after the other each restart the application"
	}
	rs.x.warn("wait = \"200ms:2s\"", "%s has no wait: %s", r.path, what)
}

// ends looks at the signal that ends the program.
func (rs *readers) ends(r *reader) {
	ends := r.conf.text("kill_signal")
	if ends == "" {
		ends = "SIGINT"
	}
	sent, shown := rs.signals[r.kind]
	switch {
	case shown && sent != ends:
		rs.x.warn("KillSignal="+ends+" in the unit", "%s is ended by %s, and its unit sends %s, which only goes on to the child", r.path, ends, sent)
	case shown:
		rs.x.ok("%s is ended by %s, and its unit sends it", r.path, ends)
	case ends != "SIGINT":
		rs.x.ok("%s is ended by %s: its unit needs KillSignal=%s (shown with --template, it is looked at)", r.path, ends, ends)
	}
}

// unit notes which signal a unit sends to which program.
func (rs *readers) unit(r *reader) {
	program, signal := "", "SIGTERM"
	for line := range strings.Lines(r.text) {
		name, value, found := strings.Cut(strings.TrimSpace(line), "=")
		if !found {
			continue
		}
		switch fields := strings.Fields(value); {
		case name == "ExecStart" && len(fields) > 0:
			program = filepath.Base(strings.TrimLeft(fields[0], "-@:+!"))
		case name == "KillSignal" && len(fields) > 0:
			signal = fields[0]
		}
	}
	if program != kindTemplate && program != kindEnvconsul {
		rs.x.warn("nothing was looked at in it", "%s starts neither consul-template nor envconsul", r.path)
		return
	}
	rs.signals[program] = signal
	if signal == "SIGTERM" {
		rs.x.warn("KillSignal=SIGINT and KillMode=mixed in [Service]", "%s ends %s by SIGTERM: it hands that on to its child, and stays if the child does", r.path, program)
	}
}

// child looks at the application that the program starts.
func (rs *readers) child(r *reader) {
	e := r.conf.block("exec")
	if !e.has("command") {
		return
	}
	if _, set := duration(e.text("splay")); !set {
		rs.x.warn("exec { splay = \"2s\" }", "%s has no splay: after a switch all machines restart the application at the same moment", r.path)
	}
	if signal := e.text("reload_signal"); signal != "" {
		rs.x.ok("%s: a switch sends %s to the application; it must read its handle again then", r.path, signal)
		return
	}
	rs.x.ok("%s: a switch restarts the application (exec without reload_signal)", r.path)
}

// stanza looks at one template block.
func (rs *readers) stanza(r *reader, t settings, i int) {
	name := fmt.Sprintf("%s: template %d", r.path, i+1)
	if d := t.text("destination"); d != "" {
		name = fmt.Sprintf("%s: the template for %s", r.path, d)
	}
	if t.text("error_on_missing_key") != "true" {
		rs.x.warn("error_on_missing_key = true", "%s: a field that is not there is rendered as \"<no value>\", and no error", name)
	}
	text := t.text("contents")
	if source := t.text("source"); source != "" {
		var err error
		if text, err = readShown(source); err != nil {
			rs.x.warn("run this on the application's machine", "%s: its source %s cannot be read: %v", name, source, err)
			return
		}
	}
	if reads := rs.template(name, text, t.text("left_delimiter"), t.text("right_delimiter")); reads && !private(t.text("perms")) {
		rs.x.warn("perms = \"0600\"", "%s holds a handle, and so its password, and every user of that machine may read it", name)
	}
}

// private reports whether a mode keeps others out; consul-template's default,
// 0644, does not.
func private(perms string) bool {
	return strings.HasSuffix(perms, "0")
}

// template looks at what a template reads, and returns whether it reads a handle.
func (rs *readers) template(name, text, left, right string) (reads bool) {
	all, err := uses(text, left, right)
	if err != nil {
		rs.x.warn("consul-template -dry -once says it, too", "%s cannot be understood: %v", name, err)
		return false
	}
	var keys []string
	for _, u := range all {
		handles := rs.within(u)
		reads = reads || len(handles) > 0
		if u.function == "key" && len(handles) > 0 {
			keys = append(keys, u.key)
		}
		rs.use(name, u, handles)
	}
	if len(keys) > 0 {
		rs.x.ok("%s reads %s by `key`: it waits while the key is absent, and keeps the last value when it is deleted", name, strings.Join(keys, ", "))
	}
	if len(all) == 0 {
		rs.x.warn("is it the right file?", "%s reads nothing from Consul's KV", name)
	}
	return reads
}

// within returns the handles that a use reads, and notes that they are read.
func (rs *readers) within(u use) (out []string) {
	for key := range rs.handles {
		if u.key == key || (kvFunctions[u.function] && u.key != "" && strings.HasPrefix(key, strings.TrimSuffix(u.key, "/")+"/")) {
			rs.read[key] = true
			out = append(out, key)
		}
	}
	slices.Sort(out)
	return out
}

func (rs *readers) use(name string, u use, handles []string) {
	switch {
	case u.key == "":
		rs.x.warn("", "%s: a key is put together only when it is rendered (%s): it was not followed", name, u.function)
	case kvFunctions[u.function] && overlaps(u.key, failover.Prefix):
		rs.x.fail("read the handles by `key`", "%s reads all below %q, and so %s: it is rendered again with every switch of any resource", name, u.key, failover.Prefix)
	case kvFunctions[u.function] && len(handles) > 0:
		rs.x.warn("read each by `key`", "%s reads all below %q: each change there renders it again, and a deleted handle is left out of the file", name, u.key)
	case len(handles) == 0 && rs.handles != nil && !kvFunctions[u.function]:
		rs.x.warn("is it spelled as in reattach's configuration?", "%s reads %s, which is no handle: reattach never changes it", name, u.key)
	case u.function == "keyOrDefault" && len(handles) > 0:
		rs.x.warn("`key`, which waits instead", "%s reads %s by keyOrDefault: without the key, or the right to read it, the application gets the default", name, u.key)
	case strings.HasPrefix(u.function, "keyExists") && len(handles) > 0:
		rs.x.warn("`key`, which waits instead", "%s asks %s whether %s is there: without it, the file is rendered all the same", name, u.function, u.key)
	}
}

// overlaps reports whether keys below a prefix may be below another.
func overlaps(prefix, other string) bool {
	return strings.HasPrefix(other, prefix) || strings.HasPrefix(prefix, other)
}

// prefixes looks at what envconsul reads.
func (rs *readers) prefixes(r *reader) {
	for _, p := range r.conf.blocks("prefix") {
		path := strings.TrimPrefix(p.text("path"), "/")
		resources := map[string]bool{}
		n := 0
		for key, resource := range rs.handles {
			if strings.HasPrefix(key, path) {
				rs.read[key], resources[resource] = true, true
				n++
			}
		}
		switch {
		case overlaps(path, failover.Prefix):
			rs.x.fail("name the folder of this application's handles", "%s: the prefix %q holds %s: the application is restarted with every switch of any resource", r.path, path, failover.Prefix)
		case rs.handles != nil && n == 0:
			rs.x.warn("is it spelled as in reattach's configuration?", "%s: no handle is below the prefix %q: reattach never changes anything there", r.path, path)
		case !strings.HasSuffix(path, "/"):
			rs.x.warn(fmt.Sprintf("path = %q", path+"/"), "%s: the prefix %q has no slash at its end: it takes in all keys that begin so", r.path, path)
		case len(resources) > 1:
			rs.x.warn("one folder for each application", "%s: handles of %s are below %q: each switch of any of them restarts the application", r.path, plural(len(resources), "resource"), path)
		default:
			rs.x.ok("%s: envconsul reads all below %q; any change there restarts the application, and a missing key is a missing variable", r.path, path)
		}
	}
}

// installed looks at the envconsul that is on this machine, if one is.
func (rs *readers) installed() {
	const bad = "0.13.3 and 0.13.4 stop noticing changes for good after the first error of Consul"
	path, err := exec.LookPath(kindEnvconsul)
	if err != nil {
		rs.x.ok("there is no envconsul in this PATH: look at envconsul -v, for %s", bad)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "-v").CombinedOutput()
	version := strings.TrimSpace(string(out))
	switch {
	case err != nil:
		rs.x.warn("envconsul -v; "+bad, "the version of %s cannot be read: %v", path, err)
	case strings.Contains(version, "v0.13.3") || strings.Contains(version, "v0.13.4"):
		rs.x.fail("envconsul 0.13.2", "%s is %s: %s", path, version, bad)
	default:
		rs.x.ok("%s is %s", path, version)
	}
}

// unread tells of handles that no file reads.
func (rs *readers) unread() {
	var missing []string
	for key := range rs.handles {
		if !rs.read[key] {
			missing = append(missing, key)
		}
	}
	slices.Sort(missing)
	if len(missing) > 0 {
		rs.x.warn("show the files that read them, too; or does an application read them from Consul itself?", "none of the files shown reads %s", strings.Join(missing, ", "))
	}
}

// duration reads a duration; set says that there was one.
func duration(s string) (d time.Duration, set bool) {
	d, err := time.ParseDuration(s)
	return d, err == nil
}
