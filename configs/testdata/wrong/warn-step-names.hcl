# After a failover to the standby this would power off what is attached next.
resource "orders-db" {
  handle  = "production/DATABASE_URL"
  require = ["writable"]
  endpoint "primary" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db1.internal/orders" }
  endpoint "standby" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db2.internal/orders" }
  fence { command = ["/etc/reattach/power-off", "db1.internal"] }
  promote { command = ["/etc/reattach/promote-db", "standby"] }
}
