package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/reattach/reattach/configs"
	"github.com/reattach/reattach/failover/consul"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
	"github.com/reattach/reattach/test/lab"
)

// shop has two resources, whose handles the files below testdata/doctor read.
func shop(keys ...string) *configs.Config {
	conf := &configs.Config{Store: configs.Store{Kind: configs.Consul}}
	for _, key := range keys {
		name, _, _ := strings.Cut(filepath.Base(key), "_")
		conf.Resources = append(conf.Resources, policy.Resource{Name: strings.ToLower(name), Handles: []policy.Handle{{Key: key}}})
	}
	return conf
}

// TestDoctorTemplates: each pitfall is named, in the files that have them.
func TestDoctorTemplates(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	x := &examination{}
	if err := os.Chmod("testdata/doctor/bad/consul-template.hcl", 0o644); err != nil { // as it is checked out, whatever the umask
		t.Fatal(err)
	}
	var paths []string
	for _, name := range []string{"consul-template.hcl", "envconsul.hcl", "envconsul.service", "broken.tpl", "broken.hcl", "token.hcl", "nginx.service", "none.hcl"} {
		paths = append(paths, "testdata/doctor/bad/"+name)
	}
	x.templates(paths, shop("production/DATABASE_URL", "production/JDBC_URL", "elsewhere/CACHE_URL"))
	golden(t, "doctor-templates", x.render(paint{}, 0))
}

// TestDoctorSamples: of the samples that we ship, nothing is to be said.
func TestDoctorSamples(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for _, tool := range []string{"consul-template", "envconsul"} {
		dir := t.TempDir()
		var paths []string
		entries, err := os.ReadDir("../../deployments/" + tool)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			text, err := os.ReadFile("../../deployments/" + tool + "/" + e.Name())
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, e.Name())
			if err := os.WriteFile(path, bytes.ReplaceAll(text, []byte("/etc/orders"), []byte(dir)), 0o600); err != nil {
				t.Fatal(err)
			}
			if ext := filepath.Ext(path); ext == ".hcl" || ext == ".service" {
				paths = append(paths, path)
			}
		}
		x := &examination{}
		x.templates(paths, shop("production/DATABASE_URL"))
		for i := range x.findings {
			x.findings[i].Text = strings.ReplaceAll(x.findings[i].Text, dir, "/etc/orders")
		}
		golden(t, "doctor-"+tool, x.render(paint{}, 0))
		if x.count(levelWarning)+x.count(levelError) > 0 {
			t.Errorf("%s: something is said of the sample", tool)
		}
	}
}

// TestDoctorEnvconsul: the versions that go blind are an error.
func TestDoctorEnvconsul(t *testing.T) {
	for version, level := range map[string]string{"0.13.2": levelOK, "0.13.3": levelError, "0.13.4": levelError} {
		dir := t.TempDir()
		t.Setenv("PATH", dir)
		if err := os.WriteFile(filepath.Join(dir, "envconsul"), []byte("#!/bin/sh\necho envconsul v"+version+" '(abc)'\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		x := &examination{}
		(&readers{x: x}).installed()
		if len(x.findings) != 1 || x.findings[0].Level != level {
			t.Errorf("%s: %+v", version, x.findings)
		}
	}
}

func TestDoctorVersions(t *testing.T) {
	for version, old := range map[string]bool{"1.22.7": false, "1.22.10": false, "1.22.6+ent": true, "1.9.20": true, "2.0.0-rc1": false, "v1.22.7": false, "nonsense": true} {
		if older(version, consulTested) != old {
			t.Errorf("%s: older is %v", version, !old)
		}
	}
}

func TestDoctorClocks(t *testing.T) {
	for _, c := range []struct {
		ahead time.Duration
		want  string
	}{{0, "agree"}, {90 * time.Second, "1m30s ahead of"}, {-5 * time.Minute, "5m0s behind"}} {
		x := &examination{}
		x.clocks(&consul.Look{Asked: noon.Add(c.ahead), Date: noon, Latency: 1 * time.Second})
		if len(x.findings) != 1 || !strings.Contains(x.findings[0].Text, c.want) {
			t.Errorf("%v: %+v", c.ahead, x.findings)
		}
	}
}

func TestDoctorPasswords(t *testing.T) {
	for text, want := range map[string]bool{
		`url = "mysql://app:geheim@db1/orders"`: true, `url = "mysql://app:${env("PW")}@db1/orders"`: false,
		`url = "memcached://db1:11211"`: false, `# url = "mysql://app:geheim@db1/orders"`: false, `url = "mysql://app@db1:3306/orders"`: false,
	} {
		if hasPassword(text) != want {
			t.Errorf("%s: %v", text, !want)
		}
	}
}

// TestDoctorNotifiers: their shape is looked at, and nothing is sent.
func TestDoctorNotifiers(t *testing.T) {
	conf := shop("a/ORDERS_URL", "a/MAIL_URL")
	x := &examination{}
	x.notifiers(t.Context(), conf, false)
	conf.Routes = map[string][]string{"orders": {"pager"}}
	conf.Notifiers = []configs.Notifier{{Kind: "exec", Name: "pager", Command: []string{"/nowhere/page"}},
		{Kind: "webhook", Name: "hook", URL: "http://10.0.0.1/" + secret}, {Kind: "slack", Name: "chat", URL: "https://hooks.example/" + secret}}
	x.notifiers(t.Context(), conf, false)
	golden(t, "doctor-notifiers", x.render(paint{}, 0))
}

// TestDoctorHost: what a machine lacks is an error.
func TestDoctorHost(t *testing.T) {
	conf := shop("a/ORDERS_URL")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	conf.Observer.StateDir = filepath.Join(dir, "none", "state")
	conf.Listen = configs.Listen{HTTP: taken.Addr().String(), Socket: filepath.Join(dir, "sock")}
	key := filepath.Join(dir, "key.pem")
	if err := os.WriteFile(key, nil, 0o604); err != nil {
		t.Fatal(err)
	}
	conf.Store.Consul.TLS.KeyFile = key
	x := &examination{}
	x.host(t.Context(), conf, nil)
	x.descriptors(1<<40, "")
	for _, want := range []string{"file descriptors are allowed in this shell, and", "cannot be written", "no daemon answers", "is taken by another program", "every user of this machine may read it"} {
		if !slices.ContainsFunc(x.findings, func(f finding) bool { return strings.Contains(f.Text, want) }) {
			t.Errorf("no %q in\n%s", want, x.render(paint{}, 0))
		}
	}
}

// unlike is what differs each time: versions, durations, sizes and ports.
var unlike = regexp.MustCompile(`[0-9]+[.0-9]*(ms|µs|s)\b|\b[0-9]{4,}\b|\b1\.[0-9]+\.[0-9]+\b`)

func cacheServer(t *testing.T) *server {
	t.Helper()
	s, err := startServer("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	return s
}

// visit runs the doctor as a person does, and masks what differs each time.
func visit(t *testing.T, code int, masks []string, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	p := &process{in: strings.NewReader(""), out: &out, err: &errs, env: os.LookupEnv}
	if got := execute(t.Context(), p, append([]string{"doctor"}, args...)); got != code {
		t.Errorf("exit code %d, want %d:\n%s%s", got, code, &out, &errs)
	}
	return strings.NewReplacer(masks...).Replace(out.String())
}

// TestDoctorOnConsul: from a token that may do nothing to all in order, on a real
// Consul with ACLs on.
func TestDoctorOnConsul(t *testing.T) {
	lab.NeedConsul(t)
	store := lab.NewConsul(t, lab.ConsulOptions{ACL: true})
	caches := [2]*server{cacheServer(t), cacheServer(t)}
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	give := func(secret string) {
		if err := os.WriteFile(token, []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	conf := func(address string) string {
		path := filepath.Join(dir, "reattach.hcl")
		text := fmt.Sprintf("observer {\n  name = \"mon-a\"\n  state_dir = %q\n}\nstore \"consul\" {\n  address = %q\n  token = file(%q)\n}\nlisten {\n  http = \"\"\n  socket = %q\n}\n"+
			"resource \"cache\" {\n  handle = \"production/CACHE_URL\"\n  endpoint \"one\" { url = \"memcached://%s\" }\n  endpoint \"two\" { url = \"memcached://%s\" }\n}\n",
			dir, address, token, filepath.Join(dir, "sock"), caches[0].addr, caches[1].addr)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	masked := func(code int, address string) string {
		text := visit(t, code, []string{dir, "DIR", store.Addr(), "CONSUL", caches[0].addr, "ONE", caches[1].addr, "TWO"}, "--config", conf(address))
		return unlike.ReplaceAllString(text, "N")
	}

	give(store.CreateToken(`key "elsewhere" { policy = "read" }`))
	golden(t, "doctor-denied", masked(1, store.URL()))
	give("11111111-2222-3333-4444-555555555555")
	if got := masked(1, store.URL()); !strings.Contains(got, "does not know the token") {
		t.Errorf("an unknown token:\n%s", got)
	}
	give(store.CreateToken("key_prefix \"reattach/\" { policy = \"write\" }\nkey \"production/CACHE_URL\" { policy = \"write\" }"))
	if _, err := store.Client("").KV().Put(&api.KVPair{Key: "production/CACHE_URL", Value: []byte("memcached://" + caches[0].addr)}, nil); err != nil {
		t.Fatal(err)
	}
	golden(t, "doctor-consul", masked(0, store.URL()))
	give(store.ManagementToken)
	if got := masked(0, store.URL()); !strings.Contains(got, "may write every key") {
		t.Errorf("a token that may do everything:\n%s", got)
	}
	if got := masked(0, another(t, store)); !strings.Contains(got, "Consul is N, and the oldest version") || !strings.Contains(got, " behind Consul's") {
		t.Errorf("an old Consul with another clock:\n%s", got)
	}
	var report struct {
		OK       bool      `json:"ok"`
		Findings []finding `json:"findings"`
	}
	if err := json.Unmarshal([]byte(visit(t, 0, nil, "--json", "--config", conf(store.URL()))), &report); err != nil || !report.OK || len(report.Findings) < 8 {
		t.Errorf("%+v, %v", report, err)
	}
	store.Kill()
	golden(t, "doctor-gone", masked(1, store.URL()))
}

// another is the same Consul, as one of another version with another clock would
// answer.
func another(t *testing.T, server *lab.Consul) string {
	t.Helper()
	to, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.ModifyResponse = func(r *http.Response) error {
		r.Header.Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
		if r.Request.URL.Path == "/v1/agent/version" {
			text := `{"HumanVersion":"1.18.0"}`
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
			r.Header.Set("Content-Length", fmt.Sprint(len(text)))
		}
		return nil
	}
	front := httptest.NewServer(proxy)
	t.Cleanup(front.Close)
	return front.URL
}

// TestDoctorProbes: each class that is not ok says what it means.
func TestDoctorProbes(t *testing.T) {
	conf := shop("a/ORDERS_URL")
	conf.Resources[0].Endpoints = []policy.Endpoint{{Target: probe.Target{Timeout: 2 * time.Second}}}
	r := liveResource{Name: "orders"}
	for i, class := range []probe.Class{probe.OK, probe.Refused, probe.Auth, probe.NoAddress, probe.Overloaded} {
		e := liveEndpoint{Name: fmt.Sprintf("db%d", i)}
		e.URL, e.Class, e.Phase, e.Millis = mustURL(fmt.Sprintf("mysql://app:%s@db%d/orders", secret, i)), class, probe.PhaseConnect, 1500
		r.Endpoints = append(r.Endpoints, e)
	}
	turned := liveEndpoint{Name: "db5"}
	turned.Error = "1044 Access denied for user 'app'@'%' to database 'orders'"
	turned.URL, turned.Class, turned.Phase, turned.Code = mustURL("mysql://app:"+secret+"@db5/orders"), probe.Misconfigured, probe.PhaseAuth, "1044"
	r.Endpoints = append(r.Endpoints, turned)
	r.Endpoints[0].Facts = probe.Facts{"tls_expiry": time.Now().Add(5*24*time.Hour + time.Minute).Format(time.RFC3339)}
	for i, e := range []liveEndpoint{
		{Privilege: &livePrivilege{Lacks: "SLAVE MONITOR", Grant: "GRANT SLAVE MONITOR ON *.* TO 'app'@'%'"}},
		{Privilege: &livePrivilege{Lacks: "SLAVE MONITOR", Facts: []string{"applied"}, Grant: "GRANT SLAVE MONITOR ON *.* TO 'app'@'%'"},
			Requirements: []liveRequirement{{Fact: "writable", Met: true}, {Fact: "applied", Why: "applied is unknown"}}},
		{Requirements: []liveRequirement{{Fact: "replica", Met: true, When: beforePromote}, {Fact: "writable", Why: "writable is false", When: afterPromote}}},
		{Warning: "standby3 is read-only"},
	} {
		e.Name, e.Class, e.Millis = fmt.Sprintf("standby%d", i), probe.OK, 2
		r.Endpoints = append(r.Endpoints, e)
	}
	x := &examination{}
	x.probes(conf, &liveReport{Resources: []liveResource{r}}, []string{"/etc/reattach"})
	golden(t, "doctor-probes", x.render(paint{}, 0))
}
