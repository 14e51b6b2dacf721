resource "orders-db" {
  handle = "production/DATABASE_URL"
  endpoint "primary" { url = "mysql://app:${var.pw}@db1.internal/orders" }
  endpoint "standby" { url = "mysql://${endpoint.user}@db2.internal/orders" }
}
observer {
  name = mon-a
}
