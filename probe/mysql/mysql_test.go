package mysql

import (
	"strings"
	"testing"

	"github.com/reattach/reattach/probe"
)

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		url, database string
		good          bool
	}{
		{"mysql://app:x@h/orders", "orders", true},
		{"mysql://app:x@h", "", true},
		{"mysql://app:x@h/", "", true},
		{"mysql://app:x@h/a%2Fb%20c", "a/b c", true},
		{"mysql://app:x@h/a/b", "", false},
		{"mysql://app:x@h/" + strings.Repeat("x", 257), "", false},
		{"mysql://h/orders", "orders", false},
		{"mysql://:x@h/orders", "orders", false},
	} {
		u, err := probe.ParseURL(c.url)
		if err != nil {
			t.Fatal(err)
		}
		if err := Protocol.Check(u); (err == nil) != c.good {
			t.Errorf("%.40s: %v", c.url, err)
		}
		if name, err := database(u); name != c.database && err == nil {
			t.Errorf("%.40s: database %q", c.url, name)
		}
	}
	if name, err := database(probe.URL{Path: "/a%zz"}); err == nil {
		t.Errorf("a broken escape is the database %q", name)
	}
}

// TestCodes: a server that sends an error packet is alive, so no code is
// evidence of failure, known or not.
func TestCodes(t *testing.T) {
	for code := range uint16(0xffff) {
		f := serverError{code: code}.failure()
		if f.Class.Evidence() || f.Class == probe.OK || f.Class == probe.None || f.Class == probe.Local {
			t.Errorf("%d is %v", code, f.Class)
		}
	}
	for code, class := range map[uint16]probe.Class{
		1040: probe.Overloaded, 1203: probe.Overloaded, 1226: probe.Overloaded, 1045: probe.Auth, 1862: probe.Auth, 1130: probe.Auth,
		1049: probe.Misconfigured, 1129: probe.Misconfigured, 1047: probe.Degraded, 1053: probe.Degraded, 1290: probe.Role, 3159: probe.TLS, 9999: probe.Degraded,
	} {
		if f := (serverError{code: code}).failure(); f.Class != class {
			t.Errorf("%d is %v, not %v", code, f.Class, class)
		}
	}
}

func TestProtocol(t *testing.T) {
	for name, mode := range map[string]probe.TLSMode{"mysql": probe.TLSPrefer, "mariadb": probe.TLSPrefer, "mysqls": probe.TLSVerify, "mariadbs": probe.TLSVerify} {
		if s, ok := Protocol.Scheme(name); !ok || s.Port != "3306" || s.TLS != mode {
			t.Errorf("%s: %+v", name, s)
		}
	}
	if !Protocol.Traits.StoreOfData || !Protocol.Traits.Taints || Protocol.Traits.LeftWork {
		t.Errorf("%+v", Protocol.Traits)
	}
}

func TestIsOn(t *testing.T) {
	for v, on := range map[string]bool{"": false, "0": false, "OFF": false, "off": false, "1": true, "ON": true, "NO_LOCK": true} {
		if isOn(v) != on {
			t.Errorf("%q", v)
		}
	}
}
