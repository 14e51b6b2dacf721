# What the daemon of docker-compose.yml watches. Times are the defaults: a cache that
# hangs is switched after 3 s, a database after 10 s, because a restart may mend it.
# `reattach check` warns of a Consul that is reached in clear: here it is a demo.

store "consul" {
  address = "http://consul:8500"
}

listen {
  http = "0.0.0.0:9778" # published on this machine's loopback only
}

defaults {
  policy {
    # A container's name goes from Docker's DNS when the container ends. Elsewhere a
    # name without an address is for DNS to mend, and no evidence; here it means that
    # the server is gone, if it lasts this long and the standby is well.
    also_evidence = ["resolve"]
    also_sustain  = "10s"
  }
}

# These write the handles that are not there yet. A real database's handle exists
# before reattach does, and is adopted.
resource "orders-db" {
  handle    = "production/DATABASE_URL"
  bootstrap = true

  endpoint "mariadb-1" { url = "mysql://app:${urlencode(env("APP_PASSWORD"))}@mariadb-1:3306/orders" }
  endpoint "mariadb-2" { url = "mysql://app:${urlencode(env("APP_PASSWORD"))}@mariadb-2:3306/orders" }
}

resource "orders-queue" {
  handle = "production/AMQP_URL"

  endpoint "rabbitmq-1" { url = "amqp://app:${urlencode(env("APP_PASSWORD"))}@rabbitmq-1:5672/orders" }
  endpoint "rabbitmq-2" { url = "amqp://app:${urlencode(env("APP_PASSWORD"))}@rabbitmq-2:5672/orders" }
}

resource "mail" {
  handle = "production/SMTP_URL"

  endpoint "relay-1" { url = "smtp://relay-1:25" }
  endpoint "relay-2" { url = "smtp://relay-2:25" }
}

resource "sessions" {
  handle = "production/CACHE_URL"

  endpoint "memcached-1" { url = "memcached://memcached-1:11211" }
  endpoint "memcached-2" { url = "memcached://memcached-2:11211" }
}
