package lab

import "path"

// SmallDisk gives the data of a MariaDB or MySQL a file system of its own, of so
// many MiB, in memory; see [Server.FillDisk]. Their data want 120 and 200.
func SmallDisk(mebibytes int) Option { return func(s *spec) { s.disk = mebibytes } }

// dataDir is where a server of that kind keeps its data.
func dataDir(kind string) string {
	if kind == "mysql" {
		return "/var/lib/lab"
	}
	return "/var/lib/mysql"
}

// FillDisk leaves not one block of a [SmallDisk].
func (s *Server) FillDisk() {
	s.lab.t.Helper()
	// Several times, for the server may give something back meanwhile.
	s.MustExec("sh", "-c", `for i in 1 2 3 4 5; do
		dd if=/dev/zero of="$1" bs=4k oflag=append conv=notrunc 2> /dev/null
		[ "$(stat -f -c %a "$1")" = 0 ] && exit 0
	done; exit 1`, "sh", s.filler())
}

// FreeDisk ends [Server.FillDisk]. A server that waits for room looks for it again
// only after a while, MariaDB after a minute.
func (s *Server) FreeDisk() {
	s.lab.t.Helper()
	s.MustExec("rm", "-f", s.filler())
}

func (s *Server) filler() string { return path.Join(dataDir(s.kind), "filler") }
