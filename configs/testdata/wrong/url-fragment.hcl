resource "orders-db" {
  handle = "production/DATABASE_URL"
  endpoint "a" { url = "mysql://app@db1.internal/orders#main" }
  endpoint "b" { url = " mysql://app@db2.internal/orders" }
  endpoint "c" { url = "mysql://app@db3.internal/orders " }
}
