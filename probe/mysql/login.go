package mysql

import (
	"encoding/binary"
	"slices"

	"github.com/reattach/reattach/probe"
)

// login is one attempt to prove one password.
type login struct {
	w        *wire
	user     string
	password string
	plugin   string
	seed     []byte
}

// charset is utf8mb4 in its general collation, which every server since 5.5 knows.
const charset = 45

// appendCaps builds what a TLS request and a login have in common.
func (w *wire) appendCaps(caps uint32) {
	w.out = binary.LittleEndian.AppendUint32(w.out, caps)
	w.out = binary.LittleEndian.AppendUint32(w.out, maxPacket)
	w.out = append(w.out, charset)
	w.out = append(w.out, make([]byte, 23)...)
}

// requestTLS asks the server to go on in TLS.
func (w *wire) requestTLS(g greeting) error {
	w.begin()
	w.appendCaps(g.caps&capOurs | capTLS)
	return w.send()
}

// sendLogin sends the login with the first proof. client names the probe in
// the server's list of connection attributes.
func (w *wire) sendLogin(g greeting, user string, proof []byte, plugin, client string) error {
	caps := g.caps & capOurs
	if w.c.Encrypted() {
		caps |= capTLS
	}
	w.begin()
	w.appendCaps(caps)
	w.out = append(append(w.out, user...), 0)
	w.out = append(append(w.out, byte(len(proof))), proof...)
	if caps&capPluginAuth != 0 {
		w.out = append(append(w.out, plugin...), 0)
	}
	if caps&capAttributes != 0 {
		attrs := appendValue(appendValue(nil, "_client_name"), "reattach")
		attrs = appendValue(appendValue(attrs, "program_name"), client[:min(len(client), 128)])
		w.out = appendValue(w.out, string(attrs))
	}
	return w.send()
}

// maxRounds bounds how long a server may go on asking; no method needs more.
const maxRounds = 8

// authenticate logs in. Whatever it cannot or must not answer, it answers with
// an empty packet, and hears the server out: to leave in the middle of a login
// is what gets a host blocked.
func (l *login) authenticate(g greeting, client string) error {
	l.plugin, l.seed = g.plugin, g.seed
	if !slices.Contains([]string{pluginNative, pluginCaching}, l.plugin) {
		l.plugin = pluginNative // the server will name the account's own method
	}
	proof, err := l.prove()
	if err != nil {
		return err
	}
	if err := l.w.sendLogin(g, l.user, proof, l.plugin, client); err != nil {
		return err
	}
	var refused error // why we stopped answering
	for range maxRounds {
		p, err := l.w.read()
		if refused != nil && (err != nil || p[0] == 0x00 || p[0] == 0xff) {
			if err == nil && p[0] == 0x00 {
				l.w.quit()
			}
			return refused
		}
		switch {
		case err != nil:
			return err
		case p[0] == 0x00:
			return nil
		case p[0] == 0xff:
			return parseError(p)
		}
		answer, wanted, err := l.answer(p)
		if err != nil {
			if refused == nil {
				refused = err
			}
			answer, wanted = nil, true
		}
		if !wanted {
			continue
		}
		l.w.begin()
		l.w.out = append(l.w.out, answer...)
		if err := l.w.send(); err != nil {
			return err
		}
	}
	return garbled("a login without an end")
}

// answer says what to send in answer to a packet in the middle of a login, and
// whether anything is to be sent.
func (l *login) answer(p []byte) (answer []byte, wanted bool, err error) {
	switch p[0] {
	case 0xfe:
		if err := l.change(p); err != nil {
			return nil, true, err
		}
		answer, err = l.prove()
		return answer, true, err
	case 0x01:
		return l.more(p[1:])
	}
	return nil, true, garbled("a packet %#x in a login", p[0])
}

// change reads the server's wish for another method, with a seed of its own.
func (l *login) change(p []byte) error {
	if len(p) == 1 {
		return unspoken("mysql_old_password")
	}
	c := cursor{b: p[1:]}
	name := string(c.text())
	if c.bad || name == "" {
		return garbled("a wish for a method without a name")
	}
	seed := c.b
	if n := len(seed); n > 0 && seed[n-1] == 0 {
		seed = seed[:n-1]
	}
	l.plugin, l.seed = name, slices.Clone(seed)
	return nil
}

// prove is the first thing that the method wants to hear.
func (l *login) prove() ([]byte, error) {
	switch l.plugin {
	case pluginNative:
		return proveNative(l.password, l.seed), nil
	case pluginCaching:
		return proveCaching(l.password, l.seed), nil
	case pluginEd25519:
		return proveEd25519(l.password, l.seed)
	case pluginParsec:
		return nil, nil // asks for the salt
	case pluginClear:
		if !l.w.c.Encrypted() {
			return nil, probe.Failure{Class: probe.Auth, Text: "the account wants its password in clear text, which needs TLS"}
		}
		return append([]byte(l.password), 0), nil
	case pluginSHA256:
		switch {
		case l.password == "":
			return []byte{0}, nil
		case l.w.c.Encrypted():
			return append([]byte(l.password), 0), nil
		}
		return []byte{1}, nil // asks for the server's key
	}
	return nil, unspoken(probe.Line(l.plugin))
}

// What caching_sha2_password says after the first proof.
const (
	cachingOK   = 3 // the password was in the cache
	cachingFull = 4 // it was not: the password itself is wanted
)

// more answers what a method says in its course.
func (l *login) more(p []byte) (answer []byte, wanted bool, err error) {
	switch l.plugin {
	case pluginParsec:
		answer, err = proveParsec(l.password, l.seed, p)
		return answer, true, err
	case pluginCaching, pluginSHA256:
	default:
		return nil, true, garbled("more of a method that has no more")
	}
	if l.plugin == pluginCaching && len(p) == 1 {
		switch {
		case p[0] == cachingOK:
			return nil, false, nil
		case p[0] != cachingFull:
			return nil, true, garbled("state %d of caching_sha2_password", p[0])
		case l.w.c.Encrypted():
			return append([]byte(l.password), 0), true, nil
		}
		return []byte{2}, true, nil // asks for the server's key
	}
	if len(l.seed) == 0 {
		return nil, true, garbled("no seed")
	}
	key, err := parsePublicKey(p)
	if err != nil {
		return nil, true, err
	}
	answer, err = encryptPassword(l.password, l.seed, key)
	return answer, true, err
}

// unspoken is a method of authentication that the probe does not know.
func unspoken(method string) error {
	return probe.Failure{Class: probe.Auth, Text: "the account wants the method " + method + ", which the probe does not speak"}
}

// leave ends a connection that is not to be logged in, after the greeting. A
// server counts a connection that is dropped here, and blocks the whole host
// when there were many; a login as nobody that it refuses, it does not.
func (w *wire) leave(g greeting) {
	nobody := login{w: w}
	if nobody.authenticate(g, "") == nil {
		w.quit()
	}
}

// quit sends the goodbye.
func (w *wire) quit() {
	w.command(comQuit)
	_ = w.send()
}
