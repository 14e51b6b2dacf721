resource "orders-db" {
  handle = "production/DATABASE_URL"
  endpoint "primary" { url = "mysql://app:${env("EMPTY")}@db1.internal/orders" }
  endpoint "standby" { url = "mysql://app@db2.internal/orders" }
}
