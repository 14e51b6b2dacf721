resource "orders-db" {
  handle = "production/DATABASE_URL"
  endpoint "primary" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db1.internal/orders" }
  endpoint "standby" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db2.internal/orders" }
  require = ["writable", "!writable", "lag <= 5s", " lag<=5s", "applied == true", "applied", "read_only != true"]
}
resource "sessions-db" {
  handle = "production/SESSIONS_URL"
  endpoint "primary" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db1.internal/orders" }
  endpoint "standby" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db2.internal/orders" }
  require = ["lag <= 5s", "lag <= 5s", "lag > 1"]
}
