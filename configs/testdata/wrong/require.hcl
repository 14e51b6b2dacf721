resource "orders-db" {
  handle = "production/DATABASE_URL"
  endpoint "primary" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db1.internal/orders" }
  endpoint "standby" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db2.internal/orders" }
  require = [
    "writeable",
    "wsrep_ready",
    "writable(x)",
    "lag",
    "lag <= many",
    "lag = 5",
    "!version",
    "version > eleven",
    "writable > 1",
    "not writable",
    "",
    "lag <= 5s",
  ]
}
