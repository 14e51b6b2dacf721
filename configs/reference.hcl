# Every setting of this version, each with its default unless the comment says
# otherwise. Copy what you change; leave the rest out.
#
# Text may hold expressions: env("NAME") reads an environment variable (one that
# is not set is an error), file("PATH") a file without the newline at its end;
# urlencode, trimspace, lower, upper, replace, join, split, coalesce,
# jsonencode, jsondecode, base64encode and base64decode do what they are called.
# Files named by file() are read again when they change. Relative paths are
# relative to this file. Durations are texts with a unit: "500ms", "10s", "2m".

# This running reattach.
observer {
  name      = "mon-a" # the host's name
  zone      = "az-1"  # ""; observers of one zone fail together
  state_dir = "/var/lib/reattach"

  # Every observer, this one included (see fleet.hcl).
  peers = { # this one alone
    "mon-a" = "http://10.0.1.5:9778"
    "mon-b" = "http://10.0.2.5:9778"
    "mon-c" = "http://10.0.3.5:9778"
  }
}

# Where handles and state are kept: "consul", or "embedded" (see embedded.hcl).
store "consul" {
  address = "https://consul.internal:8501" # "http://127.0.0.1:8500"; also unix:///run/consul.sock

  token_file = "/run/secrets/consul-token" # none; or token = "…"
  datacenter = "dc1"                       # the agent's
  namespace  = ""                          # Consul Enterprise
  partition  = ""                          # Consul Enterprise

  tls {
    ca_file     = "/etc/ssl/consul-ca.pem" # the system's roots
    cert_file   = "/etc/ssl/client.pem"    # none
    key_file    = "/etc/ssl/client.key"    # none
    server_name = "server.dc1.consul"      # the address's host
  }
}

# The daemon's own doors.
listen {
  http   = "10.0.1.5:9778"              # "127.0.0.1:9778": status page, /metrics, health; the other observers ask here; "" for none
  socket = "/run/reattach/control.sock" # the command line's own door
  pprof  = false                        # Go's profiles below /debug/pprof/ on http

  # For store "embedded" on an address other than loopback, what readers must
  # send as X-Consul-Token:
  #   token      = file("/run/secrets/reattach-token")
  #   token_file = "/run/secrets/reattach-token"
}

# What holds for every resource that does not say otherwise: a policy block and
# a probe block, with the same settings as in a resource.
defaults {
  # Whom to tell; also of what concerns no resource, such as a store that does
  # not answer. [] for none.
  notify = ["ops-chat", "ops-mail", "pager", "alerts", "tickets", "siren"] # every notifier

  # The page to which notices link, with the kind of notice as its anchor.
  runbook = "https://github.com/reattach/reattach/blob/main/deployments/docs/runbook.md"

  policy {
    rise = 2
  }
  probe {
    tls {
      ca_file = "/etc/ssl/services-ca.pem"
    }
  }
}

# One backing service as applications see it.
resource "orders-db" {
  # KV keys that applications read; at least one. `handle` holds the attached
  # endpoint's URL, `handles` other spellings of it, which may speak of
  # endpoint.name, url, scheme, user, password, host, port, path and query.
  # All of them change in one transaction.
  handle = "production/DATABASE_URL"
  handles = {
    "production/JDBC_URL" = "jdbc:mysql://${endpoint.host}:${endpoint.port}${endpoint.path}"
  }

  # Whom to tell of this resource; [] for none.
  notify = ["ops-chat", "pager", "alerts"] # that of defaults

  # What a standby must show to be a candidate: "FACT", "!FACT" or "FACT OP
  # VALUE", where OP is <, <=, ==, !=, >= or >. A fact that is not known fails.
  # reattach check --facts lists what each protocol knows.
  require = ["writable"] # []

  # What the attached endpoint must show, in the same words. One that shows
  # something else counts as failing once that has lasted sustain; a fact that is
  # not known counts for nothing.
  expect = ["writable"] # []

  # Create handles that were never there, once the first endpoint is up.
  bootstrap = false # true, but for stores of data (mysql)

  # The order is that of preference. Parameters of the URL that reattach does
  # not know belong to the application.
  endpoint "primary" {
    url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db1.internal:3306/orders"
    tls { # what differs from probe.tls
      server_name = "db1.example"
    }
  }
  endpoint "standby" {
    url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db2.internal:3306/orders"
  }

  # How endpoints are asked.
  probe {
    username = "probe" # the URL's
    # The URL's; several are tried in their order while one is rotated.
    # password = file("/run/secrets/probe")
    passwords = [file("/run/secrets/probe"), file("/run/secrets/probe-next")]
    # The deepest that leaves no trace; connect, greet, auth, ping, role, read, write.
    depth = "write"

    # With depth = "write" (mysql, mariadb): a row is replaced in a table of the
    # attached endpoint, never of a standby. Who cannot write counts as failed.
    write {
      table    = "reattach.canary"
      interval = "10s"
      sustain  = "30s" # how long ago the first write that failed must have begun
    }

    tls {
      mode        = "verify"                 # by scheme; off, prefer, require, verify
      ca_file     = "/etc/ssl/orders-ca.pem" # the system's roots
      cert_file   = "/etc/ssl/client.pem"    # none
      key_file    = "/etc/ssl/client.key"    # none
      server_name = "db.example"             # the URL's host
    }
  }

  # How much evidence is wanted, and what to do with it.
  policy {
    # A set of times by name: "fast" (sustain 50ms, suspect_interval 10ms) or
    # "cautious" (sustain three times its default, fail_after "5 of 5"). What is
    # written beside it wins.
    profile = "cautious" # none

    # Defaults of these five go by scheme; here are mysql's.
    #            mysql   amqp    smtp   memcached
    interval         = "1s"    # 1s      1s      30s    1s      between two pings on a held session
    fresh_interval   = "10s"   # 10s     30s     30s    10s     between two whole conversations beside it
    timeout          = "2s"    # 2s      5s      15s    1s      of one conversation, or one ping
    suspect_interval = "100ms" # 100ms   200ms   2s     100ms   between two conversations while examined
    sustain          = "10s"   # 10s     15s     30s    3s      since the first bad probe of the run began

    fail_after = "3 of 3" # bad ones among the last
    rise       = 2        # good ones in a row make it up again

    # Classes that count as failure here, if they last also_sustain: overloaded,
    # degraded, auth, tls, misconfigured, resolve.
    also_evidence = ["tls"] # []
    also_sustain  = "60s"

    mode           = "act"  # or "observe": everything but writing a handle
    failback       = "auto" # "manual"
    failback_after = "10m"  # of health, before an automatic failback
    mass_failure   = "hold" # or "proceed"

    quorum {
      veto = true # an observer that was answered keeps the others from a failover
    }
  }

  # Commands around a switch, run without a shell and told by their environment
  # (REATTACH_FROM, REATTACH_TO, REATTACH_TO_HOST, ...) what it is about. Left
  # out: none.
  fence {
    command    = ["/etc/reattach/fence-db"]
    timeout    = "60s"
    on_failure = "hold" # or proceed
  }
  promote {
    require = ["applied"] # [], asked before; what the resource requires is then asked after
    command = ["/etc/reattach/promote-db"]
    timeout = "60s"
  }
  abort {
    command = ["/etc/reattach/abort-db"]
    timeout = "60s"
  }
  after {
    command = ["/etc/reattach/after-db"]
    timeout = "60s"
  }
}

# Destinations of notices: a kind, and a name of yours. These four settings are
# the same for every kind.
notifier "slack" "ops-chat" {
  webhook_url = file("/run/secrets/slack")

  # Kinds of notice by the names of the runbook's entries. Left out: all but the
  # quiet ones, which are told only where they are named.
  events   = ["suspect", "failover", "held", "recovered", "store_lost"]
  severity = "info" # the least that is told: info, warning, critical
  resolve  = true   # tell that a matter is over, too
  timeout  = "10s"  # of one attempt; attempts go on for a day
}

notifier "pagerduty" "pager" {
  routing_key = file("/run/secrets/pagerduty")
  url         = "https://events.pagerduty.com/v2/enqueue" # or that of the EU
  severity    = "warning"                                 # the default of this kind
}

notifier "alertmanager" "alerts" {
  urls  = ["https://am1.internal:9093", "https://am2.internal:9093"] # each instance of a cluster, without /api/v2
  token = file("/run/secrets/alertmanager")                          # none

  # As that of Consul; webhook and email have it, too.
  tls {
    ca_file     = "/etc/ssl/our-ca.pem"   # the system's roots
    cert_file   = "/etc/ssl/client.pem"   # none
    key_file    = "/etc/ssl/client.key"   # none
    server_name = "alertmanager.internal" # the URL's host
  }
}

notifier "email" "ops-mail" {
  smtp     = "smtp://mail.internal:587" # with STARTTLS; or smtps://
  from     = "reattach <reattach@example.com>"
  to       = ["ops@example.com"]
  username = "reattach"                # none
  password = file("/run/secrets/smtp") # none
}

notifier "webhook" "tickets" {
  url    = "https://tickets.internal/reattach"
  secret = file("/run/secrets/webhook")       # none; signs each body: X-Reattach-Signature
  token  = file("/run/secrets/webhook-token") # none; sent as a bearer token

  # A Go text/template; left out: JSON that holds everything.
  body = <<-EOT
    {"title": {{json .Title}}, "text": {{json .Text}}}
  EOT
}

notifier "exec" "siren" {
  # No shell. The message is JSON on standard input, its gist in the environment
  # (REATTACH_TITLE, REATTACH_SEVERITY, …).
  command = ["/usr/local/bin/siren", "--once"]
}
