resource "orders-db" {
  handle = "production/DATABASE_URL"
  endpoint "primary" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db1.internal/orders" }
  endpoint "standby" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db2.internal/orders" }
  fence {
    command    = ["fence-db", "now"]
    on_failure = "ignore"
  }
  promote {
    require = ["applied", "aplied"]
    command = []
    timeout = "30 s"
  }
  abort { command = "/etc/reattach/abort" }
  after {
  }
}
resource "sessions-db" {
  handle = "production/SESSIONS_URL"
  endpoint "primary" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db1.internal/sessions" }
  endpoint "standby" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db2.internal/sessions" }
  promote { command = ["/etc/reattach/promote-db", "--yes"] }
}
resource "mail" {
  handle = "production/SMTP_URL"
  endpoint "a" { url = "smtp://a.internal" }
  endpoint "b" { url = "smtp://b.internal" }
  abort { command = ["/etc/reattach/abort"] }
}
