store "consul" {
  token = "hunter2-token"
}
resource "orders-db" {
  handle = "production/DATABASE_URL"
  endpoint "primary" { url = "mysql://app:hunter2@db1.internal/orders" } # hunter2
  endpoint "standby" { url = "mysql://app:hunter2@db2.internal/orders" }
}
