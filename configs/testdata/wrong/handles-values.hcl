resource "orders-db" {
  handles = {
    "production/EMPTY" = endpoint.query
    "production/MAP"   = { host = endpoint.host }
    "production/DSN"   = "app:hunter2@tcp(${endpoint.hst})/orders?password=hunter2"
  }
  endpoint "primary" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db1.internal/orders" }
  endpoint "standby" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db2.internal/orders" }
}
