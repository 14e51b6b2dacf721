package probe_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/reattach/reattach/probe"
)

func TestParseURL(t *testing.T) {
	for _, c := range []struct {
		in, masked string
		want       probe.URL
	}{
		{"mysql://app:s3cret@db1:3307/orders?charset=utf8", "mysql://app:***@db1:3307/orders?charset=utf8",
			probe.URL{Scheme: "mysql", User: "app", Password: "s3cret", HasPass: true, Host: "db1", Port: "3307", Path: "/orders", RawQuery: "charset=utf8"}},
		{"MYSQL://app@db1", "mysql://app@db1", probe.URL{Scheme: "mysql", User: "app", Host: "db1"}},
		{"memcached://cache1:11211", "memcached://cache1:11211", probe.URL{Scheme: "memcached", Host: "cache1", Port: "11211"}},
		{"mysql://app:@db1/", "mysql://app:***@db1/", probe.URL{Scheme: "mysql", User: "app", HasPass: true, Host: "db1", Path: "/"}},
		{"amqp://u%40x:p%2F%3A%23%3F@[::1]:5672/%2F", "amqp://u%40x:***@[::1]:5672/%2F",
			probe.URL{Scheme: "amqp", User: "u@x", Password: "p/:#?", HasPass: true, Host: "::1", Port: "5672", Path: "/%2F"}},
		{"smtp://T0KEN:T0KEN@mail", "smtp://***:***@mail", probe.URL{Scheme: "smtp", User: "T0KEN", Password: "T0KEN", HasPass: true, Host: "mail"}},
		{"mysql://[fe80::1%25eth0]/x", "mysql://[fe80::1%25eth0]/x", probe.URL{Scheme: "mysql", Host: "fe80::1%eth0", Path: "/x"}},
		{"s3://b?secret_key=s3cret&region=x&Api-Token=s3cret", "s3://b?secret_key=***&region=x&Api-Token=***",
			probe.URL{Scheme: "s3", Host: "b", RawQuery: "secret_key=s3cret&region=x&Api-Token=s3cret"}},
		{"s3://b?a=1;p%61ssword=s3cret;c", "s3://b?a=1;p%61ssword=***;c", probe.URL{Scheme: "s3", Host: "b", RawQuery: "a=1;p%61ssword=s3cret;c"}},
		{"smtp://a:b@mail?from=a@b.test", "smtp://a:***@mail?from=a@b.test", probe.URL{Scheme: "smtp", User: "a", Password: "b", HasPass: true, Host: "mail", RawQuery: "from=a@b.test"}},
	} {
		got, err := probe.ParseURL(c.in)
		if err != nil || got != c.want {
			t.Errorf("%s: got %#v (%v), want %#v", c.in, got, err, c.want)
			continue
		}
		if got.String() != c.masked {
			t.Errorf("%s prints as %s, want %s", c.in, got, c.masked)
		}
		if again, err := probe.ParseURL(got.Reveal()); err != nil || again != got {
			t.Errorf("%s reveals as %s, which reads as %#v (%v)", c.in, got.Reveal(), again, err)
		}
	}
}

func TestParseURLRefuses(t *testing.T) {
	for _, in := range []string{
		"", "db1", "db1:3306", "//db1", "mysql:db1", "mysql://", "mysql://:3306", "mysql:///orders", "mysql://u:s3cret@/x",
		"mysql://app:s3%zzcret@db1", "mysql://app:s3cret@d b1", "mysql://app:s3cret@db1:port", "mysql://app:s3cret@db1\x7f",
		"mysql://db1/orders#s3cret",
		// Passwords that were not encoded, and so end up elsewhere.
		"mysql://app:12#s3cret@db1/orders", "mysql://app:12/s3cret@db1/orders", "mysql://app:12?s3cret@db1/orders",
		"mysql://app:p@12/s3cret@db1/orders", "mysql://app:s3cret#x@db1/orders",
	} {
		u, err := probe.ParseURL(in)
		if err == nil {
			t.Errorf("%q passed as %#v", in, u)
		} else if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: the error quotes it: %v", in, err)
		}
	}
}

// TestSecretsNeverPrint prints a URL and a secret in every way there is.
func TestSecretsNeverPrint(t *testing.T) {
	u, err := probe.ParseURL("mysql://app:s3cret@db1/x?token=s3cret")
	if err != nil {
		t.Fatal(err)
	}
	holder := struct {
		U probe.URL
		P *probe.URL
		S probe.Secret
		L []probe.Secret
		M map[string]probe.Secret
	}{u, &u, u.Password, []probe.Secret{u.Password}, map[string]probe.Secret{"k": u.Password}}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		for _, value := range []any{u, &u, u.Password, holder, []any{u, u.Password}, fmt.Errorf("failed: %v %w", u, fmt.Errorf("%v", u.Password))} {
			fmt.Fprintf(&out, verb+"\n", value)
		}
	}
	log := slog.New(slog.NewJSONHandler(&out, nil))
	log.Info("x", "url", u, "secret", u.Password, "holder", holder)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "url", u, "secret", u.Password, "holder", holder)
	b, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(b)
	for _, spelling := range []string{"s3cret", fmt.Sprintf("%x", "s3cret"), fmt.Sprintf("%X", "s3cret")} {
		if i := strings.Index(out.String(), spelling); i >= 0 {
			t.Errorf("a secret shows: …%s", out.String()[max(0, i-60):i+10])
		}
	}
	if u.Password.Reveal() != "s3cret" || !strings.Contains(u.Reveal(), "s3cret") {
		t.Error("Reveal does not reveal")
	}
	if s := probe.Secret(""); s.String() != "" {
		t.Errorf("an empty secret prints %q", s)
	}
}

func TestURLParts(t *testing.T) {
	u, err := probe.ParseURL("mysql://[::1]/x?a=b%20c&d")
	if err != nil {
		t.Fatal(err)
	}
	if got := u.HostPort("3306"); got != "[::1]:3306" {
		t.Errorf("HostPort is %s", got)
	}
	if u.Port = "1"; u.HostPort("3306") != "[::1]:1" {
		t.Errorf("HostPort is %s", u.HostPort("3306"))
	}
	if got := u.Query("a"); got != "b c" {
		t.Errorf("a is %q", got)
	}
	if got := u.Query("none"); got != "" {
		t.Errorf("none is %q", got)
	}
}

// FuzzParseURL: no panic; what is read can be written and read again; no
// password is printed.
func FuzzParseURL(f *testing.F) {
	for _, s := range []string{
		"mysql://app:s3cret@db1:3306/orders?x=y", "amqps://u:p%40@[::1]:5671/%2F", "smtp://***:***@m", "a://b?password=x;y", "mysql://[fe80::1%25a]",
		"a://%20:b@c", "a://b:c@d:e", "a://@b", "a://:@b", "a://b%2f", "a://b/?", "a://é:é@é/é",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := probe.ParseURL(s)
		if err != nil {
			return
		}
		again, err := probe.ParseURL(u.Reveal())
		if err != nil || again != u {
			t.Fatalf("%q is %#v; it reveals as %q, which is %#v (%v)", s, u, u.Reveal(), again, err)
		}
		hidden := u
		hidden.Password = "another"
		if u.User != "" && u.User == u.Password.Reveal() {
			hidden.User = "another"
		}
		if u.HasPass && u.String() != hidden.String() {
			t.Fatalf("what %q prints depends on its password: %q, %q", s, u, hidden)
		}
	})
}
