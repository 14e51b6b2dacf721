resource "orders-db" {
  handle = "production/DATABASE_URL"
  endpoint "a" { url = "amqp://app:${urlencode(env("ORDERS_PW"))}@mq1/orders" }
  endpoint "b" { url = "amqp://app:${urlencode(env("ORDERS_PW"))}@mq2/orders" }
  policy {
    failback = "auto"
  }
}
