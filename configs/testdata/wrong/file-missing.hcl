store "consul" {
  token = file("/run/secrets/missing")
}
listen {
  token_file = "secret.txt"
}
resource "orders-db" {
  handle = "production/DATABASE_URL"
  endpoint "primary" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db1.internal/orders" }
  endpoint "standby" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db2.internal/orders" }
  probe {
    passwords = [file("/run/secrets/a"), file("missing.txt")]
  }
}
