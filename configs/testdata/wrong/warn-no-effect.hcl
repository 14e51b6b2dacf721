resource "orders-db" {
  handle = "production/DATABASE_URL"
  endpoint "primary" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db1.internal/orders" }
  endpoint "standby" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db2.internal/orders" }
  policy {
    also_sustain = "10s"
    failback_after = "5m"
  }
}
resource "mail" {
  handle = "mail"
  endpoint "a" { url = "smtp://mx1.internal" }
  endpoint "b" { url = "smtp://mx2.internal" }
  policy {
    fresh_interval = "60s"
    also_evidence = ["tls"]
    also_sustain = "10s"
  }
}
