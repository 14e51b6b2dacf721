# What `make quickstart` runs: two real servers of each of four protocols, the
# store in a file, handles read from the daemon itself. Times are far shorter
# than a production wants (check warns of each), so that nobody has to wait.

observer {
  name      = "quickstart"
  state_dir = "/data"
}

store "embedded" {
  path = "/data/store.db"
}

listen {
  # Inside of a container network; readers send the token.
  http   = "0.0.0.0:9778"
  socket = "/run/reattach/control.sock"
  token  = env("READER_TOKEN")
}

defaults {
  policy {
    interval         = "500ms"
    fresh_interval   = "1s"
    timeout          = "1s"
    suspect_interval = "100ms"
    sustain          = "1s"
  }
}

resource "orders-db" {
  handle    = "quickstart/DATABASE_URL"
  bootstrap = true

  endpoint "mariadb-1" { url = "mysql://app:${urlencode(env("APP_PASSWORD"))}@mariadb-1:3306/orders" }
  endpoint "mariadb-2" { url = "mysql://app:${urlencode(env("APP_PASSWORD"))}@mariadb-2:3306/orders" }
}

resource "orders-queue" {
  handle = "quickstart/AMQP_URL"

  endpoint "rabbitmq-1" { url = "amqp://app:${urlencode(env("APP_PASSWORD"))}@rabbitmq-1:5672/orders" }
  endpoint "rabbitmq-2" { url = "amqp://app:${urlencode(env("APP_PASSWORD"))}@rabbitmq-2:5672/orders" }
}

resource "mail" {
  handle = "quickstart/SMTP_URL"

  endpoint "postfix-1" { url = "smtp://postfix-1:25" }
  endpoint "postfix-2" { url = "smtp://postfix-2:25" }
}

resource "sessions" {
  handle = "quickstart/CACHE_URL"

  endpoint "memcached-1" { url = "memcached://memcached-1:11211" }
  endpoint "memcached-2" { url = "memcached://memcached-2:11211" }
}
