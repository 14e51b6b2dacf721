package amqp

import (
	"strings"

	"github.com/reattach/reattach/probe"
)

// grant says how the target's account gets to see what it is asked for. The
// command replaces all that an account may do in a vhost, so it is given only for
// an account that is the probe's own; one that applications use, too, is for a
// person to mend.
func grant(t probe.Target, f probe.Facts) string {
	lacks, ok := f["missing_privilege"].(string)
	if !ok {
		return ""
	}
	name, err := vhost(t.URL)
	if err != nil {
		return ""
	}
	user, _ := t.Credentials()
	const write = `amq\.default`
	read := readable(t.Wanted)
	if t.Username != "" && t.Username != t.URL.User {
		return "rabbitmqctl set_permissions --vhost " + quote(name) + " " + quote(user) + " '' " + quote(write) + " " + quote(read)
	}
	var add []string
	if strings.Contains(lacks, writeDefault) {
		add = append(add, write+" to what it may write")
	}
	if strings.Contains(lacks, anyRight) {
		add = append(add, read+" to what it may read")
	}
	return "add " + strings.Join(add, " and ") + ", by rabbitmqctl set_permissions, which replaces all three patterns of: rabbitmqctl list_user_permissions " + quote(user)
}

// quote writes a text for a shell, if that is needed.
func quote(text string) string {
	text = probe.Line(text)
	if text != "" && strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/_.-") == "" {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
