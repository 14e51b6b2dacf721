package configs_test

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/configs"
	"github.com/reattach/reattach/probe"
)

var update = flag.Bool("update", false, "rewrite the expected reports")

// protocols are like the real ones in all that a configuration can tell.
func protocols() []probe.Protocol {
	const ms, s = time.Millisecond, time.Second
	noUser := func(u probe.URL) error {
		if u.User == "" {
			return errors.New("the URL names no user: the server would log every probe as a failure, and block this host in the end")
		}
		return nil
	}
	vhost := func(u probe.URL) error {
		if u.Path == "/" {
			return errors.New(`"/" at the end may mean the vhost "" or the vhost "/": write /%2f for the latter, or nothing`)
		}
		return nil
	}
	return []probe.Protocol{
		{Name: "mysql", Holds: true, Writes: true, Depths: []probe.Phase{probe.PhaseWrite}, Check: noUser,
			Schemes:  []probe.Scheme{{Name: "mysql", Port: "3306", TLS: probe.TLSPrefer}, {Name: "mariadb", Port: "3306", TLS: probe.TLSPrefer}},
			Defaults: probe.Defaults{Interval: s, FreshInterval: 10 * s, Timeout: 2 * s, SuspectInterval: 100 * ms, Sustain: 10 * s, TimeoutFloor: 100 * ms, RestartTime: 5 * s},
			Traits:   probe.Traits{StoreOfData: true, Taints: true},
			Facts: []probe.Fact{
				{Name: "version", Type: "string", Phase: probe.PhaseGreet}, {Name: "writable", Type: "bool"}, {Name: "read_only", Type: "bool"},
				{Name: "lag", Type: "int64"}, {Name: "applied", Type: "bool"}, {Name: "replicating", Type: "bool", Dies: true}, {Name: "auth_method", Type: "string", Phase: probe.PhaseAuth},
			}},
		{Name: "amqp", Holds: true, Depths: []probe.Phase{probe.PhaseWrite}, Check: vhost,
			Schemes:  []probe.Scheme{{Name: "amqp", Port: "5672", TLS: probe.TLSOff}, {Name: "amqps", Port: "5671", TLS: probe.TLSVerify}},
			Defaults: probe.Defaults{Interval: s, FreshInterval: 30 * s, Timeout: 5 * s, SuspectInterval: 200 * ms, Sustain: 15 * s, TimeoutFloor: 5 * s, RestartTime: 10 * s},
			Traits:   probe.Traits{LeftWork: true},
			Facts:    []probe.Fact{{Name: "version", Type: "string", Phase: probe.PhaseGreet}, {Name: "cluster_name", Type: "string", Phase: probe.PhaseGreet}}},
		{Name: "smtp", Depths: []probe.Phase{probe.PhaseRead},
			Schemes:  []probe.Scheme{{Name: "smtp", Port: "25", TLS: probe.TLSPrefer}, {Name: "submission", Port: "587", TLS: probe.TLSVerify}, {Name: "smtps", Port: "465", TLS: probe.TLSVerify}},
			Defaults: probe.Defaults{Interval: 30 * s, FreshInterval: 30 * s, Timeout: 15 * s, SuspectInterval: 2 * s, Sustain: 30 * s, TimeoutFloor: 10 * s, RestartTime: 5 * s},
			Traits:   probe.Traits{LeftWork: true}},
		{Name: "memcached", Holds: true, Depths: []probe.Phase{probe.PhaseRead, probe.PhaseWrite},
			Schemes:  []probe.Scheme{{Name: "memcached", Port: "11211", TLS: probe.TLSOff}, {Name: "memcache", Port: "11211", TLS: probe.TLSOff}},
			Defaults: probe.Defaults{Interval: s, FreshInterval: 10 * s, Timeout: s, SuspectInterval: 100 * ms, Sustain: 3 * s, TimeoutFloor: 50 * ms, RestartTime: s},
			Traits:   probe.Traits{Taints: true}},
	}
}

// planted is part of every secret of the tests, and of nothing else.
const planted = "hunter2"

// options are those of a host on which every variable and file of the tests
// is set.
func options() configs.Options {
	env := map[string]string{"ORDERS_PW": planted + "&env", "EMPTY": "", "DB_URL": "mysql://app:" + planted + "env@db9:3306/orders", "WORD": planted + "word", "BAD_URL": "mysql://app:" + planted + "@bad:port/x"}
	return configs.Options{
		Protocols: protocols(),
		Env:       func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		Hostname:  "mon-a",
		ReadFile:  readFile,
		Events:    []string{"suspect", "failover", "held", "recovered", "store_lost"},
		CheckBody: func(s string) error {
			if strings.Contains(s, "{{.Nothing}}") {
				return errors.New("a message has no Nothing")
			}
			return nil
		},
	}
}

// readFile knows the files below /run/secrets and /etc/ssl only.
func readFile(path string) ([]byte, error) {
	switch {
	case strings.HasPrefix(path, "/run/secrets/empty"):
		return []byte("\n"), nil
	case strings.HasPrefix(path, "/run/secrets/missing"):
	case strings.HasPrefix(path, "/run/secrets/slack"):
		return []byte("https://hooks.slack.com/services/T0/B0/" + planted + "-file\n"), nil
	case strings.HasPrefix(path, "/run/secrets/"):
		return []byte(planted + "-file\n"), nil
	case strings.HasSuffix(path, "-ca.pem"):
		return []byte(testCA), nil
	case strings.HasSuffix(path, "client.pem"):
		return []byte(testCA), nil
	case strings.HasSuffix(path, "client.key"):
		return []byte(testKey), nil
	case strings.HasSuffix(path, "empty.pem"):
		return nil, nil
	}
	return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
}

// read returns a file of the tests.
func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
