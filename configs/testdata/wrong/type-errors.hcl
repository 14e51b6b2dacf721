observer {
  name = ["mon-a"]
}
listen {
  pprof = "true"
}
resource "orders-db" {
  handle = "production/DATABASE_URL"
  endpoint "primary" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db1.internal/orders" }
  endpoint "standby" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db2.internal/orders" }
  bootstrap = "no"
  probe {
    username = 5
    passwords = "hunter2"
  }
  policy {
    sustain = 10
    timeout = "2"
    rise = "2"
    fail_after = 3
    also_evidence = "tls"
    interval = "1d"
  }
}
