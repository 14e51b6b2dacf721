# MySQL, MariaDB, and what speaks like them (mysql://, mariadb://; with an s at
# the end for a verified certificate).
#
# The probe logs in, pings, reads what the server is, and says goodbye, so that
# it leaves no trace and is never blocked. Its own account needs no privilege:
#
#   CREATE USER probe@'%' IDENTIFIED BY '…';

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
