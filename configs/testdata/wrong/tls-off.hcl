resource "queue" {
  handle = "production/DATABASE_URL"
  endpoint "a" {
    url = "amqps://mq1"
    tls { mode = "off" }
  }
  endpoint "b" { url = "amqps://mq2" }
}
