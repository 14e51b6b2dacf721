resource "orders-db" {
  handle = "production/DATABASE_URL"
  endpoint "primary" { url = "mysq://app:${urlencode(env("ORDERS_PW"))}@db1.internal/orders" }
  endpoint "standby" { url = "mysq://app:${urlencode(env("ORDERS_PW"))}@db2.internal/orders" }
}
resource "api" {
  handle = "api"
  endpoint "primary" { url = "https://app:${urlencode(env("ORDERS_PW"))}@db1.internal/orders" }
  endpoint "standby" { url = "https://app:${urlencode(env("ORDERS_PW"))}@db2.internal/orders" }
}
resource "env" {
  handle = "e"
  endpoint "a" { url = "${env("WORD")}://db1" }
}
