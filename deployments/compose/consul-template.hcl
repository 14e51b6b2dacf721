# What stands beside the application of docker-compose.yml, and, as its child, an
# application that prints where it is attached. The sample for real use, each line
# with its reason, is deployments/consul-template.

kill_signal = "SIGINT"

consul {
  address = "consul:8500"
  retry {
    attempts    = 0
    max_backoff = "5s"
  }
}

wait {
  min = "200ms"
  max = "2s"
}

template {
  # Hosts only: what is printed is kept in logs.
  contents    = <<E
DATABASE_URL {{ key "production/DATABASE_URL" | regexReplaceAll "^.*(//|@)" "" }}
AMQP_URL {{ key "production/AMQP_URL" | regexReplaceAll "^.*(//|@)" "" }}
SMTP_URL {{ key "production/SMTP_URL" | regexReplaceAll "^.*(//|@)" "" }}
CACHE_URL {{ key "production/CACHE_URL" | regexReplaceAll "^.*(//|@)" "" }}
E
  destination = "/tmp/application.env"
  perms       = "0600"
}

exec {
  command      = ["sh", "-c", "echo 'the application is attached to'; cat /tmp/application.env; exec tail -f /dev/null"]
  kill_timeout = "2s"
}
