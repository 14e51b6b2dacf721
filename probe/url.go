package probe

import (
	"errors"
	"log/slog"
	"net"
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

// GoString returns what String returns, so that %#v masks, too.
func (s Secret) GoString() string { return s.String() }

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
	pass, has := u.User.Password()
	return URL{
		Scheme: strings.ToLower(u.Scheme), User: u.User.Username(), Password: Secret(pass), HasPass: has,
		Host: u.Hostname(), Port: u.Port(), Path: u.EscapedPath(), RawQuery: u.RawQuery,
	}, nil
}

// String returns the URL with its secrets masked.
func (u URL) String() string { return u.format(false) }

// GoString returns what String returns.
func (u URL) GoString() string { return u.String() }

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
		b.WriteString(url.User(u.User).String())
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
	host := u.Host
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
	parts := strings.Split(raw, "&")
	for i, part := range parts {
		name, _, has := strings.Cut(part, "=")
		if has && secretName(name) {
			parts[i] = name + "=" + Mask
		}
	}
	return strings.Join(parts, "&")
}

func secretName(name string) bool {
	name = strings.ToLower(name)
	for _, word := range []string{"pass", "pwd", "secret", "token", "key", "signature", "credential"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}
