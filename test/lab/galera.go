package lab

import "fmt"

// Galera starts MariaDB as the first node of a cluster of its own, by the
// provider that its package brings.
func Galera() Option {
	return Args("--wsrep-on=1", "--wsrep-provider=/usr/lib/galera/libgalera_smm.so", "--wsrep-cluster-address=gcomm://",
		"--binlog-format=ROW", "--innodb-autoinc-lock-mode=2")
}

// LeaveCluster has a [Galera] node look for a cluster that nobody answers for: from
// some moment on it runs, and is not ready. It does not wait for that.
func (s *Server) LeaveCluster() {
	s.lab.t.Helper()
	// The statement itself hangs until a cluster is found.
	s.MustExec("sh", "-c", fmt.Sprintf("setsid mariadb -e \"SET GLOBAL wsrep_cluster_address = 'gcomm://%s'\" > /dev/null 2>&1 &", s.lab.NewAddr()))
}
