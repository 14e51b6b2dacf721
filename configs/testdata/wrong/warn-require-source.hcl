resource "orders-db" {
  handle = "production/DATABASE_URL"
  endpoint "primary" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db1.internal/orders" }
  endpoint "standby" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db2.internal/orders" }
  require = ["writable", "applied", "replicating"]
}
