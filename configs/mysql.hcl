# MySQL, MariaDB, and what speaks like them (mysql://, mariadb://; with an s at
# the end for a verified certificate).
#
# The probe logs in, pings, reads what the server is, and says goodbye, so that
# it leaves no trace and is never blocked. An account of its own needs to get into
# the URL's database, for which any right there will do, and to see replication
# and, on MySQL, the connections of others:
#
#   CREATE USER probe@'%' IDENTIFIED BY '…';
#   GRANT SHOW VIEW ON orders.* TO probe@'%';
#   GRANT SLAVE MONITOR ON *.* TO probe@'%';                 -- MariaDB
#   GRANT REPLICATION CLIENT, PROCESS ON *.* TO probe@'%';   -- MySQL

resource "orders-db" {
  handle = "production/DATABASE_URL"

  # The same endpoint for other readers, changed in the same transaction.
  handles = {
    "production/JDBC_URL" = "jdbc:mysql://${endpoint.host}:${endpoint.port}${endpoint.path}"
    "production/GO_DSN"   = "${endpoint.user}:${endpoint.password}@tcp(${endpoint.host}:${endpoint.port})${endpoint.path}"
    "production/DB_HOST"  = endpoint.host
  }

  endpoint "primary" { url = "mysql://app:${urlencode(file("/run/secrets/orders"))}@db1.internal:3306/orders" }
  endpoint "standby" { url = "mysql://app:${urlencode(file("/run/secrets/orders"))}@db2.internal:3306/orders" }

  # Only a standby that takes writes may take over: nothing here promotes a
  # read-only replica. reattach check --facts mysql lists what can be required.
  require = ["writable"]

  probe {
    username = "probe"
    # Both work while one is being rotated.
    passwords = [file("/run/secrets/probe"), file("/run/secrets/probe-next")]
    tls {
      mode    = "verify"
      ca_file = "/etc/ssl/orders-ca.pem"
    }
  }

  policy {
    # A database that systemd restarts is back within this time.
    sustain = "10s"
  }
}
