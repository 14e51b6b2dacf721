resource "queue" {
  handle = "production/AMQP_URL"
  endpoint "a" { url = "amqp://app:${env("WORD")}@mq1.internal" }
  endpoint "b" { url = "amqp://app:${env("WORD")}@mq2.internal" }
  require = ["writable", "clustername == orders", "version"]
}
