# envconsul beside an application: each key below a prefix becomes an environment
# variable, and any change below it restarts the application. Tried with envconsul
# 0.13.2. Do not use 0.13.3 or 0.13.4: they stop noticing changes for good after
# the first error of Consul, and say nothing. Run by our tests where that version can
# be built: not every module proxy serves it, and then they name what they left out.
#
#   reattach doctor --template /etc/orders/envconsul.hcl
#
# reads this file as envconsul does, and names what is missing in it.

log_level = "info"

# SIGINT ends envconsul together with its child. Any other signal, SIGTERM too,
# only goes on to the child: hence KillSignal=SIGINT in the unit.
kill_signal = "SIGINT"

# Any Consul server may answer, but not one that has not heard from its leader
# for longer than this: it would go on naming the endpoint that was left.
max_stale = "2s"

# Keys that change one soon after the other restart the application once: envconsul
# waits until nothing has changed for min. This is added to each failover.
wait {
  min = "200ms"
  max = "2s"
}

consul {
  address = "127.0.0.1:8500" # the agent on this machine

  # No token here. envconsul 0.13.2 takes token_file without a word and does not
  # use it: it then sees no key at all. The unit names the file in its environment.

  retry {
    attempts    = 0       # without end; by default envconsul stops asking after 12, and lives on without saying so
    backoff     = "250ms" # doubled with each attempt …
    max_backoff = "5s"    # … up to this; by default a minute, which a failover then waits, too
  }
}

# All keys below it, and nothing else: hence the slash at the end ("production"
# alone would take production-old/ as well). A change of any of them restarts the
# application, so give each application a folder of its own, and never name one
# that holds reattach/: its keys change with every switch of any resource.
prefix {
  path      = "production/"
  no_prefix = true # DATABASE_URL, and not production_DATABASE_URL
}

exec {
  # envconsul starts its child with whatever is there: a missing key is a missing
  # variable. So require-env looks first, and refuses. When the child ends, so does
  # envconsul, with its exit code: the unit starts both again.
  command = ["/etc/orders/require-env", "DATABASE_URL", "--", "/usr/local/bin/orders"]

  # Not all machines restart their applications at the same moment: each waits up
  # to this long, at random. This, too, is added to each failover.
  splay = "2s"

  kill_signal  = "SIGTERM" # what the application takes as "finish, then end"
  kill_timeout = "20s"     # then SIGKILL; shorter than the unit's TimeoutStopSec
}
