package mysql

import (
	"testing"

	"github.com/reattach/reattach/probe"
)

func TestGrant(t *testing.T) {
	u, err := probe.ParseURL("mysql://app:secret@db1/orders")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		username, want string
		facts          probe.Facts
	}{
		{"", "", probe.Facts{"replica": true}},
		{"", "GRANT SLAVE MONITOR ON *.* TO 'app'@'%'", lacking(privilege(flavourMariaDB))},
		{"o'probe", "GRANT REPLICATION CLIENT ON *.* TO 'o''probe'@'%'", lacking(privilege(flavourMySQL))},
		{"", "GRANT PROCESS, REPLICATION CLIENT ON *.* TO 'app'@'%'; GRANT INSERT, DELETE ON `a`.`b` TO 'app'@'%'", lacking("PROCESS", "REPLICATION CLIENT", "INSERT, DELETE ON `a`.`b`")},
		{"", "GRANT INSERT, DELETE ON `a`.`b` TO 'app'@'%'", lacking("INSERT, DELETE ON `a`.`b`")},
	} {
		if got := Protocol.Grant(probe.Target{URL: u, Username: test.username}, test.facts); got != test.want {
			t.Errorf("%q with %v: %s, want %s", test.username, test.facts, got, test.want)
		}
	}
}

func lacking(privileges ...string) probe.Facts {
	all := ""
	for _, p := range privileges {
		all = listed(all, p)
	}
	return probe.Facts{"missing_privilege": all}
}
