package memcached

import (
	"bufio"
	"bytes"
	"errors"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"github.com/reattach/reattach/probe"
)

// What a server says to commands that it wants credentials for, and to
// credentials that it does not like.
var (
	errUnauthenticated = probe.Failure{Class: probe.Auth, Code: "CLIENT_ERROR", Text: "unauthenticated"}
	errRejected        = probe.Failure{Class: probe.Auth, Code: "CLIENT_ERROR", Text: "authentication failure"}
	errFull            = probe.Failure{Class: probe.Overloaded, Code: "ERROR", Text: "Too many open connections"}
)

// ask sends a request and returns the first line of the reply. When the server
// closed in the meantime, what it said before is read first: at the connection
// limit it says so unasked, and the write may fail.
func (s *session) ask(request []byte) ([]byte, error) {
	s.c.Grant(probe.ReadLimit)
	_, sent := s.c.Write(request)
	line, err := s.line()
	if err != nil && sent != nil {
		return nil, sent
	}
	return line, err
}

// line returns the next line without its end. It is valid until the next read.
func (s *session) line() ([]byte, error) {
	line, err := s.c.Reader().ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, garbled(line)
	}
	if err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte{'\r'}), nil
}

// parseRefusal gives a line that is not what was asked for its class. The
// protocol has no codes beyond the first word, so the texts that matter are
// compared, each as a whole, as they stand in memcached's source.
func parseRefusal(line []byte) error {
	word, text, _ := strings.Cut(string(line), " ")
	said := probe.Failure{Code: word, Text: text}
	switch word {
	case "ERROR", "CLIENT_ERROR":
		for _, known := range []probe.Failure{errFull, errUnauthenticated, errRejected} {
			if said.Code == known.Code && said.Text == known.Text {
				return known
			}
		}
		if text == "" {
			said.Text = "the server does not know the command"
		}
		said.Class = probe.Misconfigured
		return said
	case "SERVER_ERROR":
		said.Class = probe.Degraded // out of memory, above all
		return said
	}
	return garbled(line)
}

func garbled(line []byte) error {
	return probe.Failure{Class: probe.Garbled, Text: "not the memcached protocol: " + strconv.Quote(string(line[:min(len(line), 40)]))}
}

// askVersion makes the first round trip, and learns whether "mn" may be used.
func (s *session) askVersion() error {
	version, err := s.version()
	if err != nil {
		return err
	}
	s.meta = knowsMeta(string(version))
	s.c.Learn("version", string(version))
	return nil
}

func (s *session) version() ([]byte, error) {
	line, err := s.ask(askVersion)
	if err != nil {
		return nil, err
	}
	version, ok := bytes.CutPrefix(line, []byte("VERSION "))
	if !ok {
		return nil, parseRefusal(line)
	}
	return version, nil
}

// knowsMeta reports whether a version has the meta commands: 1.6 has. Proxies
// that name themselves instead of a version are not trusted to.
func knowsMeta(version string) bool {
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	a, err1 := strconv.Atoi(major)
	b, err2 := strconv.Atoi(minor)
	return err1 == nil && err2 == nil && (a > 1 || a == 1 && b >= 6)
}

// authenticate sends credentials as the protocol wants them: as the value of
// a key that does not matter.
func (s *session) authenticate(user, password string) error {
	return s.store("reattach", 0, user+" "+password)
}

// store sets a key for ttl seconds.
func (s *session) store(key string, ttl int, value string) error {
	s.out = append(append(s.out[:0], "set "...), key...)
	s.out = append(strconv.AppendInt(append(s.out, " 0 "...), int64(ttl), 10), ' ')
	s.out = append(strconv.AppendInt(s.out, int64(len(value)), 10), "\r\n"...)
	s.out = append(append(s.out, value...), "\r\n"...)
	line, err := s.ask(s.out)
	if err != nil {
		return err
	}
	if string(line) != "STORED" {
		return parseRefusal(line)
	}
	return nil
}

// learnStats keeps the figures that a probe has facts for. A proxy that does
// not know the command keeps its figures to itself, which is no failure.
func (s *session) learnStats() error {
	line, err := s.ask(askStats)
	if err != nil {
		return err
	}
	for { // the reply's bytes are bounded, and so are its lines
		name, value, ok := parseStat(line)
		switch {
		case string(line) == "END":
			return nil
		case !ok:
			err := parseRefusal(line)
			if f, is := errors.AsType[probe.Failure](err); is && f.Class == probe.Misconfigured {
				return nil
			}
			return err
		}
		switch string(name) {
		case "pid", "uptime", "curr_connections", "max_connections", "curr_items":
			if n, err := strconv.ParseInt(string(value), 10, 64); err == nil {
				s.c.Learn(string(name), n)
			}
		}
		if line, err = s.line(); err != nil {
			return err
		}
	}
}

// parseStat reads a line "STAT name value".
func parseStat(line []byte) (name, value []byte, ok bool) {
	rest, ok := bytes.CutPrefix(line, []byte("STAT "))
	if !ok {
		return nil, nil, false
	}
	return bytes.Cut(rest, []byte(" "))
}

// canaryTTL is how long a canary lives, in seconds.
const canaryTTL = 10

// canaryKey is this probe's own key: two observers do not read each other's.
func canaryKey(t probe.Target) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(t.Client))
	return "reattach:canary:" + strconv.FormatUint(h.Sum64(), 36)
}

// get returns a key's value, and whether there is one.
func (s *session) get(key string) (value string, found bool, err error) {
	s.out = append(append(append(s.out[:0], "get "...), key...), "\r\n"...)
	line, err := s.ask(s.out)
	if err != nil {
		return "", false, err
	}
	if string(line) == "END" {
		return "", false, nil
	}
	if !bytes.HasPrefix(line, []byte("VALUE ")) {
		return "", false, parseRefusal(line)
	}
	if line, err = s.line(); err != nil { // a canary has no line end in it
		return "", false, err
	}
	value = string(line)
	if line, err = s.line(); err != nil {
		return "", false, err
	}
	if string(line) != "END" {
		return "", false, garbled(line)
	}
	return value, true, nil
}

// readCanary reads this probe's key. That it is not there is no fault.
func (s *session) readCanary(t probe.Target) error {
	_, _, err := s.get(canaryKey(t))
	return err
}

// writeCanary sets this probe's key and wants it back.
func (s *session) writeCanary(t probe.Target) error {
	key, value := canaryKey(t), strconv.FormatInt(time.Now().UnixNano(), 36)
	if err := s.store(key, canaryTTL, value); err != nil {
		return err
	}
	got, found, err := s.get(key)
	if err == nil && (!found || got != value) {
		err = probe.Failure{Class: probe.Degraded, Text: "the server did not keep what was set"}
	}
	return err
}
