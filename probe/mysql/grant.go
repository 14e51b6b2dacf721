package mysql

import (
	"strings"

	"github.com/reattach/reattach/probe"
)

// Privileges are listed as a statement has them: those on everything, then
// those on a table, which have their place with them.
const (
	between = "; "
	on      = " ON "
)

// lacks keeps what the account may not do, beside what it lacks already.
func (s *session) lacks(privilege string) {
	s.missing = listed(s.missing, privilege)
	s.w.c.Learn("missing_privilege", s.missing)
}

func listed(before, privilege string) string {
	switch {
	case before == "":
		return privilege
	case strings.Contains(privilege, on):
		return before + between + privilege
	}
	return before + ", " + privilege
}

// grant returns the statements that let the target's account see replication and
// connections, and write its row. The server knows accounts by user and host, and
// has not said which host it took this one for: '%' is what most have, and any
// other makes it an error.
func grant(t probe.Target, f probe.Facts) string {
	lacks, ok := f["missing_privilege"].(string)
	if !ok {
		return ""
	}
	user, _ := t.Credentials()
	var all []string
	for part := range strings.SplitSeq(lacks, between) {
		if !strings.Contains(part, on) {
			part += on + "*.*"
		}
		all = append(all, "GRANT "+part+" TO "+quote(user)+"@'%'")
	}
	return strings.Join(all, between)
}

// quote writes a name as a literal.
func quote(text string) string {
	return "'" + strings.ReplaceAll(probe.Line(text), "'", "''") + "'"
}
