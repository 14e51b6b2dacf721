resource "orders-db" {
  handle = "production/DATABASE_URL"
  endpoint "primary" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db1.internal/orders" }
  endpoint "standby" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db2.internal/orders" }
  require = ["writable"]
  expect  = "writable"
}
resource "sessions-db" {
  handle = "production/SESSIONS_URL"
  endpoint "primary" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db1.internal/sessions" }
  endpoint "standby" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db2.internal/sessions" }
  require = [" writable"]
  expect  = ["writable", "!writable", "writeable", "version", "lag <= 5s"]
}
resource "archive-db" {
  handle = "production/ARCHIVE_URL"
  endpoint "primary" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db1.internal/archive" }
  endpoint "standby" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db2.internal/archive" }
  expect = ["writable"]
  probe { depth = "ping" }
}
