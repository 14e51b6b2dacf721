package configs

import (
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
)

// TestMask shows lines as a report would quote them, without the help of
// knowing any secret by its value. Wherever one may stand it is called s3cret.
func TestMask(t *testing.T) {
	for _, test := range []struct {
		name, line, want string
	}{
		{"a secret", `password = "s3cret"`, `password = "***"`},
		{"not a secret", `interval = "10s"`, `interval = "10s"`},
		{"without quotes", `password = s3cret`, `password = ***`},
		{"strange without quotes", `token = s3cret!*s3cret-5`, `token = ***`},
		{"half quoted", `password = "s3cret`, `password = "***`},
		{"a quote inside", `password = "s3cret"s3cret"`, `password = "***"***"`},
		{"an escaped quote inside", `password = "s3cret\"s3cret"`, `password = "***"`},
		{"a dollar inside", `password = "s3${cret}s3cret"`, `password = "***${***}***"`},
		{"a percent inside", `password = "s3%{cret}s3cret"`, `password = "***%{***}***"`},
		{"a list", `passwords = ["s3cret", s3cret, env("A"), file("/b")]`, `passwords = ["***", ***, env("A"), file("/b")]`},
		{"what functions are given", `password = trimspace("s3cret")`, `password = trimspace("***")`},
		{"a function that is none", `password = s3cret(1)`, `password = ***(***)`},
		{"what env and file are given", `password = urlencode(env("ORDERS_PW"))`, `password = urlencode(env("ORDERS_PW"))`},
		{"more than env is given", `password = env("A", "s3cret")`, `password = env("***", "***")`},
		{"a name misspelt", `passwort = "s3cret"`, `passwort = "***"`},
		{"a name that is none", `frobnicate = "s3cret"`, `frobnicate = "***"`},
		{"another name misspelt", `sustian = "10s"`, `sustian = "10s"`},
		{"a file's name", `token_file = "/run/secrets/token"`, `token_file = "/run/secrets/token"`},
		{"a block in one line", `probe { password = "s3cret" }`, `probe { password = "***" }`},
		{"a comment", `interval = "10s" # s3cret`, `interval = "10s"`},
		{"a URL", `url = "mysql://app:s3cret@db1:3306/orders"`, `url = "mysql://app:***@db1:3306/orders"`},
		{"a URL without a user", `url = "memcached://:s3cret@db1"`, `url = "memcached://:***@db1"`},
		{"a URL without a password", `url = "mysql://app@db1:3306/orders"`, `url = "mysql://app@db1:3306/orders"`},
		{"a URL without an @", `url = "mysql://app:s3cret/orders"`, `url = "mysql://app:***/orders"`},
		{"a URL with two", `url = "mysql://app:s3cret@s3cret@db1/orders"`, `url = "mysql://app:***@db1/orders"`},
		{"a slash in it", `url = "mysql://app:s3cret/s3cret@db1/orders"`, `url = "mysql://app:***@db1/orders"`},
		{"a # in it", `url = "mysql://app:s3cret#s3cret@db1/orders"`, `url = "mysql://app:***@db1/orders"`},
		{"a space in it", `url = "mysql://app:s3cret s3cret@db1/orders"`, `url = "mysql://app:***@db1/orders"`},
		{"a URL with a parameter", `url = "mysql://app@db1/orders?charset=utf8&password=s3cret&x=1"`, `url = "mysql://app@db1/orders?charset=utf8&password=***&x=1"`},
		{"a URL in parts", `url = "mysql://app:${urlencode(env("A"))}@db1/orders"`, `url = "mysql://app:${urlencode(env("A"))}@db1/orders"`},
		{"half of it in parts", `url = "mysql://app:s3${env("A")}cret@db1/orders"`, `url = "mysql://app:***${env("A")}***@db1/orders"`},
		{"a literal in parts", `url = "mysql://app:${urlencode("s3cret")}@db1/orders"`, `url = "mysql://app:${urlencode("***")}@db1/orders"`},
		{"an accidental part", `url = "mysql://app:${s3cret}@db1/orders"`, `url = "mysql://app:${***}@db1/orders"`},
		{"a URL joined", `url = join("", ["mysql://app:", "s3cret"])`, `url = join("", ["***", "***"])`},
		{"a URL without quotes", `url = x://app:s3cret@db1`, `url = x:`},
		{"a DSN", `"production/DSN" = "app:s3cret@tcp(${endpoint.host})/orders"`, `"production/DSN" = "app:***@tcp(${endpoint.host})/orders"`},
		{"a JDBC URL", `"production/JDBC" = "jdbc:mysql://app:s3cret@${endpoint.host}/x?password=s3cret"`, `"production/JDBC" = "jdbc:mysql://app:***@${endpoint.host}/x?password=***"`},
		{"a part of the endpoint", `"production/PASSWORD" = endpoint.password`, `"production/PASSWORD" = endpoint.password`},
		{"a part misspelt", `"production/X" = "${endpont.hots}"`, `"production/X" = "${endpont.hots}"`},
		{"a webhook's URL", `url = "https://hooks.slack.com/services/T0123/B0123/s3cret_s3cret-s3cret23"`, `url = "https://hooks.slack.com/services/T0123/B0123/***"`},
		{"a webhook's URL without its scheme", `url = "hooks.internal:8080/s3crets3crets3cret24"`, `url = "hooks.internal:8080/***"`},
		{"a list of them", `urls = ["https://am1/s3crets3crets3cret24", "https://u:s3cret@am2"]`, `urls = ["https://am1/***", "https://u:***@am2"]`},
		{"a file with a long name", `ca_file = "/etc/ssl/certificates-of-our-own/a-ca.pem"`, `ca_file = "/etc/ssl/certificates-of-our-own/a-ca.pem"`},
		{"a key", `routing_key = "s3cret"`, `routing_key = "***"`},
		{"a key misspelt", `routing_kye = "s3cret"`, `routing_kye = "***"`},
		{"control characters", "name = \"a\x1b[31mb\x07\"", `name = "a?[31mb?"`},
	} {
		s := &source{name: "x.hcl", bytes: []byte("a {\n" + test.line + "\n}\n")}
		if got := quoted2(s, test.line); got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.name, got, test.want)
		}
	}
}

// TestMaskEnds has a secret in each line above one that holds none: nothing of the
// latter is masked.
func TestMaskEnds(t *testing.T) {
	const below = `policy { sustian = "10s" }`
	for _, above := range []string{
		`probe { password = "s3cret" }`,
		`probe { password = "s3cret" } # s3cret`,
		`password = "s3cret" # s3cret`,
		`password = s3cret // s3cret`,
		`frobnicate = "s3cret" }`,
		`passwords = ["s3cret", # s3cret` + "\n" + `"s3cret"]`,
		`password = /* s3cret */ "s3cret"`,
	} {
		s := &source{name: "x.hcl", bytes: []byte("a {\n" + above + "\n" + below + "\n}\n")}
		at := strings.Index(string(s.bytes), below)
		if got, _ := s.quote(place(s, at), nil); got != below {
			t.Errorf("below %s:\n got %s\nwant %s", above, got, below)
		}
		for line := range strings.Lines(above) {
			if got, _ := s.quote(place(s, strings.Index(string(s.bytes), line)), nil); strings.Contains(got, "s3cret") {
				t.Errorf("%s: %s", above, got)
			}
		}
	}
}

// quoted2 quotes the second line of s.
func quoted2(s *source, line string) string {
	text, _ := s.quote(place(s, strings.Index(string(s.bytes), line)), nil)
	return text
}

func TestMaskJSON(t *testing.T) {
	for _, test := range []struct{ line, want string }{
		{`"password": "s3cret",`, `"password": "***",`},
		{`"token": s3cret}, "name": "mon-a"`, `"token": ***}, "name": "mon-a"`},
		{`"passwords": ["s3cret", "${env(\"A\")}"]`, `"passwords": ["***", "${env(\"A\")}"]`},
		{`"passwort": "s3cret", "interval": "10s"`, `"passwort": "***", "interval": "10s"`},
		{`"url": "mysql://app:s3cret@db1/orders"`, `"url": "mysql://app:***@db1/orders"`},
		{`"url": "mysql://app:${urlencode(env(\"A\"))}@db1/orders"`, `"url": "mysql://app:${urlencode(env(\"A\"))}@db1/orders"`},
		{`"url": "mysql://app:${urlencode(\"s3cret\")}@db1/orders"`, `"url": "mysql://app:${urlencode(\"***\")}@db1/orders"`},
		{`"url": mysql://app:s3cret@db1/orders`, `"url": mysql://app:***@db1/orders`},
		{`"url": "x", // s3cret`, `"url": "x", // s3cret`}, // JSON has no comments, and // may be a part of a URL
	} {
		s := &source{name: "x.json", json: true, bytes: []byte("{\n" + test.line + "\n}\n")}
		if got := quoted2(s, test.line); got != test.want {
			t.Errorf("\n got %s\nwant %s", got, test.want)
		}
	}
}

// TestMaskAfterBrokenQuote looks at a line that a missing quote above it turns
// inside out.
func TestMaskAfterBrokenQuote(t *testing.T) {
	const line = `endpoint "a" { url = "mysql://app:s3cret@db1/orders" }`
	for _, above := range []string{`name = "mon-a`, `name = "mon-a${`, `name = "${"`, `x = <<EOT`, `/*`} {
		s := &source{name: "x.hcl", bytes: []byte(above + "\n" + line + "\n")}
		if got := quoted2(s, line); strings.Contains(got, "s3cret") {
			t.Errorf("below %s: %s", above, got)
		}
	}
}

// place returns the range of one byte of s.
func place(s *source, at int) hcl.Range {
	before := string(s.bytes[:at])
	pos := hcl.Pos{Byte: at, Line: strings.Count(before, "\n") + 1, Column: at - strings.LastIndex(before, "\n")}
	return hcl.Range{Filename: s.name, Start: pos, End: pos}
}

func TestUnderline(t *testing.T) {
	const text = "\tpassword = \"s3cret\" + \"é\" + x"
	for _, test := range []struct{ mark, caret string }{
		{"password", "\t^^^^^^^^"},
		{`"s3cret"`, "\t           ^^^^^"},
		{"s3", "\t            ^^^"},
		{`"é"`, "\t                   ^^^"},
		{"x", "\t                         ^"},
	} {
		start := strings.Index(text, test.mark)
		masked := strings.Index(text, "s3cret")
		line, caret := underline(text, 0, []span{{masked, masked + len("s3cret")}}, span{start, start + len(test.mark)})
		if line != "\tpassword = \"***\" + \"é\" + x" || caret != test.caret {
			t.Errorf("%s:\n%s\n%s\nwant\n%s", test.mark, line, caret, test.caret)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"a", "", 1}, {"", "abc", 3}, {"sustain", "sustain", 0}, {"sustian", "sustain", 1},
		{"embeded", "embedded", 1}, {"kitten", "sitting", 3}, {"héllo", "hello", 1},
	} {
		if got := distance(test.a, test.b); got != test.want {
			t.Errorf("distance(%q, %q) = %d, want %d", test.a, test.b, got, test.want)
		}
		if got := distance(test.b, test.a); got != test.want {
			t.Errorf("distance(%q, %q) = %d, want %d", test.b, test.a, got, test.want)
		}
	}
}
