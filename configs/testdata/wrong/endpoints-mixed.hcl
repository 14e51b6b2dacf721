resource "orders-db" {
  handle = "production/DATABASE_URL"
  endpoint "primary" { url = "mysql://app@db1.internal/orders" }
  endpoint "standby" { url = "amqp://app@db2.internal" }
}
