# RabbitMQ and other brokers that speak AMQP 0-9-1 (amqp://, amqps://). The path
# is the vhost; no path is the vhost "/".
#
# After a switch messages may lie in the queues of the broker that was left.
# reattach says so, and how to list them; it never goes back by itself.

resource "orders-queue" {
  handle = "production/AMQP_URL"

  endpoint "a" { url = "amqps://app:${urlencode(file("/run/secrets/queue"))}@mq1.internal/orders" }
  endpoint "b" { url = "amqps://app:${urlencode(file("/run/secrets/queue"))}@mq2.internal/orders" }

  probe {
    tls {
      ca_file = "/etc/ssl/queue-ca.pem"
    }
  }

  policy {
    # A broker that systemd restarts is back within this time.
    sustain = "15s"
  }
}
