resource "orders-db" {
  handle = "production/DATABASE_URL"
  endpoint "primary" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db1.internal/orders" }
  endpoint "standby" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db2.internal/orders" }
  fence   { command = ["/etc/reattach/fence-db"] }
  promote {
    require = ["applied"]
    command = ["/etc/reattach/promote-db"]
    timeout = "30 s"
  }
  abort { command = "/etc/reattach/abort" }
  after {
  }
}
