resource "orders-db" {
  handle = "production/DATABASE_URL"
  endpoint "primary" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db1.internal/orders" }
  endpoint "standby" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db2.internal/orders" }
  probe { password = "hunter2" }
  policy { sustian = "10s" }
}
resource "sessions" {
  handle = "production/CACHE_URL"
  endpoint "a" { url = "memcached://cache1.internal" }
  endpoint "b" { url = "memcached://cache2.internal" }
  probe {
    passwords = ["hunter2", # the old one: hunter2
    "hunter2-new"] # until Friday
    dept = "greeting"
  }
}
