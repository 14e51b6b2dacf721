package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

func TestDifferences(t *testing.T) {
	const one, two = "mysql://app:s3cr3t@db1:3306/orders", "mysql://app:s3cr3t@db2:3306/orders"
	r := &policy.Resource{Endpoints: []policy.Endpoint{{Name: "one"}, {Name: "two"}}}
	h := policy.Handle{Key: "k", Values: []probe.Secret{one, two}}
	const unlike = "it is no URL, and not what the configuration spells for any endpoint"
	for _, c := range []struct {
		value string
		want  []string
	}{
		{one, nil},
		{two + "\n", nil},
		{"mysql://app:0th3r@db2:3306/orders", []string{"the password differs (nearest: two)"}},
		{"mysql://app@db2:3306/orders", []string{"the password differs (nearest: two)"}},
		{"mysql://app:s3cr3t@db9:3307/orders", []string{"host is db9, not db1 (nearest: one)", "port is 3307, not 3306 (nearest: one)"}},
		{"mariadb://root:s3cr3t@db2/orders?tls=1", []string{"scheme is mariadb, not mysql (nearest: two)", "user is root, not app (nearest: two)", "the default port is left out: add :3306 to the key, or drop it from the URL (nearest: two)", "the query differs (nearest: two)"}},
		{"mysql://app:s3cr3t@db2/orders", []string{"the default port is left out: add :3306 to the key, or drop it from the URL (nearest: two)"}},
		{"mysql://app:s3cr3t@db1:3306/", []string{"path is /, not /orders (nearest: one)"}},
		{"", []string{unlike}},
		{"s3cr3t", []string{unlike}},
		{"jdbc:mysql://db1/orders?password=s3cr3t", []string{unlike}},
		{"mysql://app:s3c/r3t@db1:3306/orders", []string{unlike}},
		{"mysql://app:s3c/s3cr3t@db1:3306/orders", []string{unlike}},
		{"mysql://app/s3cr3t@db1", []string{unlike}},
	} {
		got := differences(h, r, c.value)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%q: -want +got\n%s", c.value, diff)
		}
		if strings.Contains(strings.Join(got, " "), "3cr3t") || strings.Contains(strings.Join(got, " "), "r3t") {
			t.Errorf("%q: a secret is shown: %q", c.value, got)
		}
	}
	spelled := policy.Handle{Key: "k", Values: []probe.Secret{"host=db1 password=s3cr3t", "host=db2 password=s3cr3t"}}
	if got := differences(spelled, r, one); len(got) != 1 || !strings.Contains(got[0], "otherwise than as a URL") {
		t.Errorf("%q", got)
	}
	short := policy.Handle{Key: "k", Values: []probe.Secret{"mysql://app:s3cr3t@db1/orders", "mysql://app:s3cr3t@db2:3307/orders"}}
	for value, want := range map[string]string{
		one:                                  "the default port is spelt out: drop :3306 from the key, or add it to the URL (nearest: one)",
		"mysql://app:s3cr3t@db1:3309/orders": "port is 3309, not none (nearest: one)",
	} {
		if got := differences(short, r, value); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %q", probe.Line(value[len("mysql://app:s3cr3t@"):]), got, want)
		}
	}
	odd := policy.Handle{Key: "k", Values: []probe.Secret{"mysql://app:s3cr3t@db1:3307/orders"}}
	if got := differences(odd, r, "mysql://app:s3cr3t@db1/orders"); len(got) != 1 || got[0] != "port is none, not 3307 (nearest: one)" {
		t.Errorf("%q", got)
	}
}
