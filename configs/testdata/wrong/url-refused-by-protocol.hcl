resource "orders-db" {
  handle = "production/DATABASE_URL"
  endpoint "primary" { url = "mysql://db1.internal/orders" }
  endpoint "standby" { url = "mysql://db2.internal/orders" }
}
resource "queue" {
  handle = "q"
  endpoint "a" { url = "amqp://mq1/" }
  endpoint "b" { url = "amqp://mq2/" }
}
