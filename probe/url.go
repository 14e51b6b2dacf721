package probe

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// Mask is what stands for a secret in everything that is printed.
const Mask = "***"

// Secret is text that must never be printed. Every way of formatting it gives
// [Mask]; only Reveal gives the text.
type Secret string

// String returns Mask, or nothing for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return Mask
}

// Format writes what String returns, whatever the verb: %d and %#v mask, too.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// LogValue masks s in slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText masks s in JSON and in every other text encoding.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Reveal returns the text itself: for wires and stores, never for eyes.
func (s Secret) Reveal() string { return string(s) }

// URL is an endpoint's address with its credentials. It prints itself with
// every secret masked; Reveal alone gives the whole.
type URL struct {
	Scheme   string // lower case
	User     string
	Password Secret
	HasPass  bool   // a password was written, though it may be empty
	Host     string // name or address, without brackets
	Port     string // digits, or empty
	Path     string // as written (escaped), with its leading slash
	RawQuery string // as written, without "?"
}

var errURL = errors.New("not a URL of the form scheme://user:password@host:port/path")

// ParseURL reads an endpoint's URL. Its errors never quote the input, because
// what cannot be parsed cannot be masked.
func ParseURL(s string) (URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		var e *url.Error
		if errors.As(err, &e) {
			switch e.Err.(type) {
			case url.EscapeError:
				return URL{}, errors.New("an escape in it is broken: write % as %25, or use urlencode()")
			case url.InvalidHostError:
				return URL{}, errors.New("its host holds a character that no host may have: write special characters of a password with urlencode()")
			}
		}
		return URL{}, errURL
	}
	if u.Scheme == "" || u.Opaque != "" || u.Host == "" {
		return URL{}, errURL
	}
	if u.Hostname() == "" {
		return URL{}, errors.New("it names no host")
	}
	if _, err := netip.ParseAddr(u.Hostname()); err != nil && strings.Contains(u.Hostname(), ":") {
		return URL{}, errors.New("its host is neither a name nor an address; an IPv6 address stands in brackets")
	}
	if strayAt(u) {
		return URL{}, errors.New("it is not clear where its password ends: write special characters of a password with urlencode(), and any other @ as %40")
	}
	if u.Fragment != "" {
		return URL{}, errors.New("a # in it has no meaning: write # as %23, or use urlencode()")
	}
	pass, has := u.User.Password()
	return URL{
		Scheme: strings.ToLower(u.Scheme), User: u.User.Username(), Password: Secret(pass), HasPass: has,
		Host: u.Hostname(), Port: u.Port(), Path: u.EscapedPath(), RawQuery: u.RawQuery,
	}, nil
}

// strayAt finds URLs whose password was not encoded, so that a part of it
// passes for port and path: "app:12/34@host" has the host "app". They would be
// sent to the wrong place, and that part would be printed.
func strayAt(u *url.URL) bool {
	if u.User == nil {
		return u.Port() != "" && strings.Contains(u.EscapedPath()+u.RawQuery+u.EscapedFragment(), "@")
	}
	return strings.Contains(u.EscapedPath()+u.EscapedFragment(), "@")
}

// String returns the URL with its secrets masked. A user that is spelt like
// the password is one: some mail services have one token for both.
func (u URL) String() string { return u.format(false) }

// Format writes what String returns, whatever the verb.
func (u URL) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(u.String())) }

// LogValue masks u in slog.
func (u URL) LogValue() slog.Value { return slog.StringValue(u.String()) }

// MarshalText masks u in JSON.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// Reveal returns the whole URL, secrets included.
func (u URL) Reveal() string { return u.format(true) }

// HostPort returns host and port for dialling, with def where the URL names no port.
func (u URL) HostPort(def string) string {
	port := u.Port
	if port == "" {
		port = def
	}
	return net.JoinHostPort(u.Host, port)
}

// Query returns the decoded value of a query parameter, "" if it is absent.
func (u URL) Query(name string) string {
	q, _ := url.ParseQuery(u.RawQuery)
	return q.Get(name)
}

func (u URL) format(reveal bool) string {
	var b strings.Builder
	b.WriteString(u.Scheme + "://")
	if u.User != "" || u.HasPass {
		user := url.User(u.User).String()
		if !reveal && u.HasPass && u.User != "" && u.User == u.Password.Reveal() {
			user = Mask
		}
		b.WriteString(user)
		if u.HasPass {
			b.WriteByte(':')
			if reveal {
				b.WriteString(strings.TrimPrefix(url.UserPassword("", string(u.Password)).String(), ":"))
			} else {
				b.WriteString(Mask)
			}
		}
		b.WriteByte('@')
	}
	host := strings.ReplaceAll(u.Host, "%", "%25") // before a zone
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	b.WriteString(host)
	if u.Port != "" {
		b.WriteString(":" + u.Port)
	}
	b.WriteString(u.Path)
	if u.RawQuery != "" {
		b.WriteString("?" + maskQuery(u.RawQuery, reveal))
	}
	return b.String()
}

// maskQuery masks the values of parameters whose names speak of secrets.
func maskQuery(raw string, reveal bool) string {
	if reveal {
		return raw
	}
	var b strings.Builder
	for raw != "" {
		part := raw
		if i := strings.IndexAny(raw, "&;"); i >= 0 { // some read ";" as "&"
			part = raw[:i+1]
		}
		raw = raw[len(part):]
		name, _, has := strings.Cut(part, "=")
		if !has || !secretName(name) {
			b.WriteString(part)
			continue
		}
		b.WriteString(name + "=" + Mask)
		if end := part[len(part)-1]; end == '&' || end == ';' {
			b.WriteByte(end)
		}
	}
	return b.String()
}

func secretName(name string) bool {
	if plain, err := url.QueryUnescape(name); err == nil {
		name = plain
	}
	name = strings.ToLower(name)
	for _, word := range []string{"pass", "pwd", "secret", "token", "key", "signature", "credential"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}
