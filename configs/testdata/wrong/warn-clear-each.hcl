resource "orders-db" {
  handle = "production/DATABASE_URL"
  endpoint "primary" { url = "mysql://app:hunter2@db1.internal/orders" }
  endpoint "standby" { url = "mysql://app:hunter2@db2.internal/orders" }
  probe {
    username  = "probe"
    passwords = ["hunter2-old", "hunter2-new"]
  }
}
resource "sessions" {
  handle = "production/CACHE_URL"
  endpoint "a" { url = "memcached://app:${env("ORDERS_PW")}@cache1.internal" }
  endpoint "b" { url = "memcached://app:hunter2@cache2.internal" }
}
