package configs

import (
	"crypto/tls"
	"crypto/x509"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// probe fills in how a resource's endpoints are asked.
func (l *loader) probe(r *policy.Resource, defaults, own *section, places []*section) {
	var username, depth string
	var passwords []probe.Secret
	var conf probe.TLSConfig
	for _, s := range []*section{defaults, own} {
		if s == nil {
			continue
		}
		get(s, "username", &username)
		get(s, "depth", &depth)
		l.passwords(s, &passwords)
		conf = l.tls(s.find("tls"), conf)
	}
	l.depth(r, defaults, own, depth)
	table := l.write(r, defaults, own, probe.ParseDepth(depth))
	var named string
	if get(own, "username", &named) && named == "" {
		l.errorf(own.place("username"), "", "username is empty: leave it out to use the URL's")
	}
	if len(passwords) > 0 && username == "" && own.passwordPlace() != (hcl.Range{}) && r.Endpoints[0].Target.URL.User == "" {
		l.warnf(own.passwordPlace(), `add username = "probe"`, "there is a password, but no user: neither here nor in the URL")
	}
	for i := range r.Endpoints {
		t := &r.Endpoints[i].Target
		t.Username, t.Passwords, t.Table = username, passwords, table
		if table == "" { // else conversations stay as they are, and writes are had beside them
			t.Depth = probe.ParseDepth(depth)
		}
		t.Client = "reattach " + l.config.Observer.Name
		inner := places[i].find("tls")
		t.TLS = l.tls(inner, conf)
		l.tlsSense(r, t, inner, own.find("tls"), defaults.find("tls"))
	}
}

// passwords reads password or passwords; either replaces what was before.
func (l *loader) passwords(s *section, dst *[]probe.Secret) {
	var one probe.Secret
	var several []probe.Secret
	if get(s, "password", &one) {
		*dst = []probe.Secret{one}
	}
	if get(s, "passwords", &several) {
		*dst = several
		if len(several) == 0 {
			l.errorf(s.place("passwords"), "", "passwords is empty: leave it out to use the URL's")
		}
	}
	if s.has("password") && s.has("passwords") {
		l.errorf(s.place("password"), "put it first in passwords", "password and passwords say the same: keep one")
	}
}

// passwordPlace returns where a probe's password stands.
func (s *section) passwordPlace() hcl.Range {
	for _, name := range []string{"password", "passwords"} {
		if s.has(name) {
			return s.place(name)
		}
	}
	return hcl.Range{}
}

// depth checks how far conversations go.
func (l *loader) depth(r *policy.Resource, defaults, own *section, word string) {
	where, p := l.said("depth", defaults, own), r.Protocol
	switch depth := probe.ParseDepth(word); depth {
	case probe.PhaseRead, probe.PhaseWrite:
		if slices.Contains(p.Depths, depth) {
			return
		}
		hint := "leave out depth"
		if slices.Contains(p.Depths, probe.PhaseRead) {
			hint = `depth = "read"`
		}
		l.errorf(where, hint, "a conversation with %s has no phase %q", p.Name, word)
	case probe.PhaseConnect, probe.PhaseGreet:
		l.warnf(where, "leave out depth", "a stopped server still accepts connections, and some servers log or block who leaves before authentication: depth = %q sees less and disturbs more", word)
	}
}

var tableName = regexp.MustCompile("^[^`.[:cntrl:]]{1,64}\\.[^`.[:cntrl:]]{1,64}$")

// write reads what is written to the attached endpoint, and returns the table;
// "" for nothing.
func (l *loader) write(r *policy.Resource, defaults, own *section, depth probe.Phase) (table string) {
	outer, inner := defaults.find("write"), own.find("write")
	writes := depth == probe.PhaseWrite && r.Protocol.Writes
	switch {
	case inner != nil && !r.Protocol.Writes:
		l.errorf(inner.header, `depth = "write" alone does what can be done`, "%s has no tables to write to", r.Protocol.Name)
	case inner != nil && !writes:
		l.warnf(inner.header, `depth = "write"`, "nothing is written without depth = \"write\"")
	}
	if !writes {
		return ""
	}
	pace, sustain := writeInterval, writeSustain
	for _, s := range []*section{outer, inner} {
		get(s, "table", &table)
		get(s, "interval", &pace)
		get(s, "sustain", &sustain)
	}
	where := l.said("depth", defaults, own)
	switch {
	case outer == nil && inner == nil:
		l.errorf(where, `write { table = "reattach.canary" }`, "depth = \"write\" wants a table to write to")
		return ""
	case table == "": // which is reported as missing
		return ""
	case !tableName.MatchString(table):
		l.errorf(l.said("table", outer, inner), `table = "reattach.canary"`, "a table is named as DATABASE.TABLE")
		return ""
	}
	r.Pace.WriteInterval, r.Judge.WriteSustain = pace, sustain
	return table
}

// tls returns conf as changed by a tls block.
func (l *loader) tls(s *section, conf probe.TLSConfig) probe.TLSConfig {
	var mode string
	if get(s, "mode", &mode) {
		if m, err := probe.ParseTLSMode(mode); err == nil {
			conf.Mode = m
		}
	}
	files := tlsOf(s, TLSFiles{conf.CAFile, conf.CertFile, conf.KeyFile, conf.ServerName})
	conf.CAFile, conf.CertFile, conf.KeyFile, conf.ServerName = files.CAFile, files.CertFile, files.KeyFile, files.ServerName
	if s != nil {
		l.certificates(s, files)
	}
	return conf
}

// tlsOf returns files as changed by a tls block. Relative paths are relative
// to the configuration file.
func tlsOf(s *section, files TLSFiles) TLSFiles {
	for name, dst := range map[string]*string{"ca_file": &files.CAFile, "cert_file": &files.CertFile, "key_file": &files.KeyFile} {
		if get(s, name, dst) && *dst != "" && !filepath.IsAbs(*dst) {
			*dst = filepath.Join(dirOf(s.place(name).Filename), *dst)
		}
	}
	get(s, "server_name", &files.ServerName)
	return files
}

// certificates checks the files that a tls block names.
func (l *loader) certificates(s *section, files TLSFiles) {
	if s.has("ca_file") && files.CAFile != "" {
		b, err := l.opts.ReadFile(files.CAFile)
		switch {
		case err != nil:
			l.errorf(s.place("ca_file"), readHint(err), "cannot read %s: %s", l.say(s.place("ca_file"), files.CAFile), reason(err))
		case !x509.NewCertPool().AppendCertsFromPEM(b):
			l.errorf(s.place("ca_file"), "certificates begin with -----BEGIN CERTIFICATE-----", "the file holds no certificate")
		}
	}
	switch {
	case s.has("cert_file") && files.KeyFile == "":
		l.errorf(s.place("cert_file"), "", "cert_file needs key_file beside it")
	case s.has("key_file") && files.CertFile == "":
		l.errorf(s.place("key_file"), "", "key_file needs cert_file beside it")
	case s.has("cert_file") && s.has("key_file"):
		l.keyPair(s, files)
	}
}

func (l *loader) keyPair(s *section, files TLSFiles) {
	cert, err := l.opts.ReadFile(files.CertFile)
	if err != nil {
		l.errorf(s.place("cert_file"), readHint(err), "cannot read %s: %s", l.say(s.place("cert_file"), files.CertFile), reason(err))
		return
	}
	key, err := l.opts.ReadFile(files.KeyFile)
	if err != nil {
		l.errorf(s.place("key_file"), readHint(err), "cannot read %s: %s", l.say(s.place("key_file"), files.KeyFile), reason(err))
		return
	}
	if _, err := tls.X509KeyPair(cert, key); err != nil {
		l.errorf(s.place("cert_file"), "", "cert_file and key_file are no pair: %s", strings.TrimPrefix(err.Error(), "tls: "))
	}
}

// tlsSense checks that what is said of TLS can have its effect.
func (l *loader) tlsSense(r *policy.Resource, t *probe.Target, blocks ...*section) {
	scheme, _ := r.Protocol.Scheme(t.URL.Scheme)
	mode := t.TLS.Mode
	if mode == probe.TLSDefault {
		mode = scheme.TLS
	}
	for _, s := range blocks {
		if s == nil {
			continue
		}
		if s.has("mode") && t.TLS.Mode == probe.TLSOff && scheme.TLS >= probe.TLSRequire {
			l.errorf(s.place("mode"), "", "%s:// stands for a conversation with TLS: it cannot be off", scheme.Name)
			return
		}
		for _, name := range []string{"ca_file", "server_name"} {
			if s.has(name) && mode != probe.TLSVerify {
				l.warnf(s.place(name), `mode = "verify"`, "%s has no effect: the certificate is not verified with mode %q", name, mode)
			}
		}
		if s.has("mode") || s.has("ca_file") || s.has("server_name") {
			return // what stands further out is overridden
		}
	}
}
