# consul-template beside an application: it renders the handle into a file and
# restarts the application when the handle changes. Tried with consul-template
# 0.41.1; each line that is not a path says why it is here.
#
#   reattach doctor --template /etc/orders/consul-template.hcl
#
# reads this file as consul-template does, and names what is missing in it.

log_level = "info"

# SIGINT ends consul-template together with its child. Any other signal, SIGTERM
# too, only goes on to the child: hence KillSignal=SIGINT in the unit.
kill_signal = "SIGINT"

# Any Consul server may answer, but not one that has not heard from its leader
# for longer than this: it would go on naming the endpoint that was left.
max_stale = "2s"

# reattach changes all handles of a resource in one transaction; consul-template
# sees each of them by a query of its own. It waits until nothing has changed for
# min, so that the application is restarted once (without it, 10 switches of two
# handles restarted it 17 times). This is added to each failover.
wait {
  min = "200ms"
  max = "2s"
}

consul {
  address    = "127.0.0.1:8500"           # the agent on this machine
  token_file = "/etc/orders/consul-token" # with deployments/consul/reader-policy.hcl

  retry {
    attempts    = 0       # without end; the default gives up, and exits, after 12
    backoff     = "250ms" # doubled with each attempt …
    max_backoff = "5s"    # … up to this; by default a minute, which a failover then waits, too
  }
}

template {
  source      = "/etc/orders/app.env.tpl"
  destination = "/run/orders/app.env"
  perms       = "0600" # the handle holds a password

  # A field that is not there is an error, and not the text "<no value>". It is
  # about fields of what a function returned; for a KV key that is not there see
  # app.env.tpl.
  error_on_missing_key = true
}

exec {
  # The application, as consul-template's child. It is started once every template
  # is rendered, and not before. If it ends, so does consul-template, with its
  # exit code: the unit starts both again.
  command = ["/usr/local/bin/orders", "--env-file", "/run/orders/app.env"]

  # Not all machines restart their applications at the same moment: each waits up
  # to this long, at random. This, too, is added to each failover.
  splay = "2s"

  kill_signal  = "SIGTERM" # what the application takes as "finish, then end"
  kill_timeout = "20s"     # then SIGKILL; shorter than the unit's TimeoutStopSec

  # An application that reads its file again on a signal need not be restarted:
  #   reload_signal = "SIGHUP"
}
