resource "orders-db" {
  handle = "production/DATABASE_URL"
  endpoint "primary" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db1.internal/orders" }
  endpoint "standby" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db2.internal/orders" }
  require = [env("WORD"), "${env("WORD")} <= 5s", "lag <= ${env("WORD")}"]
}
resource "sessions-db" {
  handle = "production/SESSIONS_URL"
  endpoint "primary" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db1.internal/orders" }
  endpoint "standby" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db2.internal/orders" }
  require = split(",", "writable,${env("WORD")}")
}
resource "mail" {
  handle = "production/MAIL"
  endpoint "a" { url = "smtp://mail1.internal" }
  endpoint "b" { url = "smtp://mail2.internal" }
  require = "starttls"
}
