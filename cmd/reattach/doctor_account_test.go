package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/reattach/reattach/configs"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// stranger is an account that owns nothing here, but is in this process's group.
func stranger() account {
	return account{name: "reattach", uid: uint32(os.Getuid()) + 4242, gids: []uint32{uint32(os.Getgid())}}
}

// TestDoctorReadable: owner, group and mode say what the daemon's account may read,
// and the remedy is for what is in its way.
func TestDoctorReadable(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // t.TempDir's own parent
		t.Fatal(err)
	}
	file := filepath.Join(dir, "sub", "to ken")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	if at, _ := stranger().obstacle(filepath.Join(dir, "none")); at != "" {
		t.Skipf("%s is closed to others", at)
	}
	nobody := account{name: "reattach", uid: stranger().uid, gids: []uint32{uint32(os.Getgid()) + 4242}}
	for _, c := range []struct {
		who             account
		sub, mode       fs.FileMode
		path, says, fix string // fix is empty where the file can be read
	}{
		{stranger(), 0o755, 0o600, file, "may not read " + file + " (-rw-------)", "chown root:reattach '" + file + "' && chmod 0640 '" + file + "'"},
		{stranger(), 0o755, 0o600, link, "may not read " + link, "chmod 0640 " + link},
		{stranger(), 0o755, 0o640, file, "", ""},
		{stranger(), 0o755, 0o604, file, "may not read", "chmod 0640"}, // the group's bits count for it, not those of others
		{nobody, 0o755, 0o640, file, "may not read", "chmod 0640"},
		{nobody, 0o755, 0o644, file, "", ""},
		{stranger(), 0o700, 0o644, file, "it may not enter " + filepath.Dir(file), "install -o root -g reattach -m 0640 '" + file + "' /etc/reattach/"},
		{stranger(), 0o700, 0o644, link, "it may not enter " + filepath.Dir(file), "install "},
		{stranger(), 0o710, 0o640, file, "", ""},
		{account{name: "reattach", uid: uint32(os.Getuid())}, 0o700, 0o400, file, "", ""},
	} {
		for path, mode := range map[string]fs.FileMode{file: c.mode, filepath.Dir(file): c.sub} {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
		}
		x := &examination{}
		x.readableBy(c.who, []string{c.path, filepath.Join(dir, "none")})
		f := x.findings[0]
		if c.fix == "" && f.Level != levelOK || c.fix != "" && (f.Level != levelError || !strings.Contains(f.Text, c.says) || !strings.Contains(f.Next, c.fix)) {
			t.Errorf("%v, %v in %v: %+v", c.path, c.mode, c.sub, f)
		}
	}
}

// TestDoctorNamedFiles: every file that the daemon reads is looked at.
func TestDoctorNamedFiles(t *testing.T) {
	conf := shop("a/ORDERS_URL")
	conf.Files = configs.Files{{Path: "/s/token"}, {Path: "/s/token"}}
	conf.Store.Consul.TLS = configs.TLSFiles{CAFile: "/s/store-ca", CertFile: "/s/store-cert", KeyFile: "/s/store-key"}
	conf.Notifiers = []configs.Notifier{{TLS: configs.TLSFiles{CAFile: "/s/hook-ca"}}}
	conf.Resources[0].Endpoints = []policy.Endpoint{{Target: probe.Target{TLS: probe.TLSConfig{KeyFile: "/s/key"}}}}
	want := "/s/token /s/store-ca /s/store-cert /s/store-key /s/hook-ca /s/key"
	if got := strings.Join(namedFiles(conf), " "); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	dir := t.TempDir()
	for _, name := range []string{"a.hcl", "b.json", "c.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := configFiles([]string{dir, "/x/y.hcl"}); strings.Join(got, " ") != dir+"/a.hcl "+dir+"/b.json /x/y.hcl" {
		t.Errorf("%s", got)
	}
}

// TestDoctorCommand: what the doctor says to type has the probe's account, and works
// when it is pasted: probe itself takes it.
func TestDoctorCommand(t *testing.T) {
	dir := t.TempDir()
	kept := filepath.Join(dir, "pass word")
	if err := os.WriteFile(kept, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	conf := &configs.Config{Files: configs.Files{{Path: filepath.Join(dir, "none")}, {Path: kept}}}
	const live = "reattach check --live /etc/reattach"
	for _, c := range []struct {
		target probe.Target
		want   string
	}{
		{probe.Target{URL: mustURL("memcached://cache1:11211")}, "reattach probe memcached://cache1:11211"},
		{probe.Target{URL: mustURL("mysql://app@db1/orders")}, "reattach probe mysql://app@db1/orders"},
		{probe.Target{URL: mustURL("mysql://app:other@db1/orders"), Username: "probe", Passwords: []probe.Secret{secret}},
			"reattach probe mysql://db1/orders --password-file '" + kept + "' --user probe"},
		{probe.Target{URL: mustURL("mysql://app:" + secret + "@db1/orders?a=1&b=2")}, "reattach probe 'mysql://app@db1/orders?a=1&b=2' --password-file '" + kept + "'"},
		{probe.Target{URL: mustURL("mysql://app:of-the-environment@db1/orders")}, live},
		{probe.Target{URL: mustURL("submission://" + secret + ":" + secret + "@relay")}, live},
		{probe.Target{URL: mustURL("mysql://app@db1/orders?password=x")}, live},
		{probe.Target{URL: mustURL("mysqls://app@db1/orders"), TLS: probe.TLSConfig{Mode: probe.TLSVerify, CAFile: "/s/ca.pem", ServerName: "db"}},
			"reattach probe mysqls://app@db1/orders --tls verify --ca-file /s/ca.pem --server-name db"},
	} {
		got := closerLook(conf, []string{"/etc/reattach"}, c.target)
		if got != c.want {
			t.Errorf("%s\nwant %s", got, c.want)
		}
		if strings.Contains(got, probe.Mask) || strings.Contains(got, secret) {
			t.Errorf("it does not work, or tells a secret: %s", got)
		}
	}
}
