package smtp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/reattach/reattach/probe"
)

// reply is what the server said: its code, its enhanced status code ("4.7.0",
// or empty), and the text of its lines without either.
type reply struct {
	code     int
	enhanced string
	lines    []string
}

// positive reports whether the server did what it was asked.
func (r reply) positive() bool { return r.code >= 200 && r.code < 300 }

// status is the server's own code: "421 4.7.0", or "421".
func (r reply) status() string {
	return strings.TrimSpace(strconv.Itoa(r.code) + " " + r.enhanced)
}

func garbled(format string, args ...any) error {
	return probe.Failure{Class: probe.Garbled, Text: fmt.Sprintf(format, args...)}
}

// maxLines is how many lines of a reply are kept: each costs more than its bytes,
// and no server has so much to say.
const maxLines = 256

// readReply reads one reply with all its lines. A line is no longer than r's
// buffer; how long all of them may be is r's affair.
func readReply(r *bufio.Reader) (reply, error) {
	var all reply
	for {
		line, err := r.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return all, garbled("a line of more than %d bytes", r.Size())
		case err != nil:
			return all, foreign(line, err)
		}
		text := strings.TrimRight(string(line), "\r\n")
		code, more, rest, ok := parseLine(text)
		if !ok {
			return all, foreign(line, nil)
		}
		if all.code != 0 && code != all.code {
			return all, garbled("a reply that says %d and %d", all.code, code)
		}
		all.code = code
		enhanced, rest := cutEnhanced(code, rest)
		if all.enhanced == "" {
			all.enhanced = enhanced
		}
		if len(all.lines) < maxLines {
			all.lines = append(all.lines, rest)
		}
		if !more {
			return all, nil
		}
	}
}

// parseLine takes "250-text" or "250 text" apart; a bare "250" is one, too.
func parseLine(line string) (code int, more bool, text string, ok bool) {
	if len(line) < 3 || line[0] < '2' || line[0] > '5' {
		return 0, false, "", false
	}
	for _, digit := range line[:3] {
		if digit < '0' || digit > '9' {
			return 0, false, "", false
		}
		code = 10*code + int(digit-'0')
	}
	if len(line) == 3 {
		return code, false, "", true
	}
	if line[3] != ' ' && line[3] != '-' {
		return 0, false, "", false
	}
	return code, line[3] == '-', line[4:], true
}

// cutEnhanced takes an enhanced status code (RFC 3463) off the text, if there
// is one of the reply's own class.
func cutEnhanced(code int, text string) (enhanced, rest string) {
	word, rest, _ := strings.Cut(text, " ")
	parts := strings.Split(word, ".")
	if len(parts) != 3 || parts[0] != strconv.Itoa(code/100) {
		return "", text
	}
	for _, part := range parts[1:] {
		if n, err := strconv.ParseUint(part, 10, 16); err != nil || n > 999 {
			return "", text
		}
	}
	return word, rest
}

// foreign says what came where a reply was due: err, if what came before it
// may be the beginning of one.
func foreign(line []byte, err error) error {
	if err != nil && (len(line) == 0 || line[0] >= '2' && line[0] <= '5') {
		return err
	}
	if len(line) >= 2 && (line[0] == 0x15 || line[0] == 0x16) && line[1] == 3 {
		return probe.Failure{Class: probe.TLS, Text: "the server speaks TLS here: the scheme is smtps"}
	}
	if err != nil && !errors.Is(err, io.EOF) && len(line) < 3 {
		return err
	}
	return garbled("not SMTP: %q", line[:min(len(line), 40)])
}

// offer is what a server says to EHLO.
type offer struct {
	starttls bool
	size     bool
	limit    int64 // of a message, in bytes; 0 for none
	auth     []string
	names    []string
}

// parseOffer reads the lines after the first of a reply to EHLO.
func parseOffer(lines []string) offer {
	var o offer
	for _, line := range lines[min(1, len(lines)):] {
		words := strings.Fields(strings.ToUpper(line))
		if len(words) == 0 {
			continue
		}
		name, args := words[0], words[1:]
		if old, ok := strings.CutPrefix(name, "AUTH="); ok { // what clients of the last century needed
			name, args = "AUTH", append([]string{old}, args...)
		}
		switch name {
		case "STARTTLS":
			o.starttls = true
		case "SIZE":
			o.size = true
			if len(args) > 0 {
				o.limit, _ = strconv.ParseInt(args[0], 10, 64)
			}
		case "AUTH":
			for _, way := range args {
				if !slices.Contains(o.auth, way) {
					o.auth = append(o.auth, way)
				}
			}
		}
		if !slices.Contains(o.names, name) {
			o.names = append(o.names, name)
		}
	}
	slices.Sort(o.names)
	return o
}
