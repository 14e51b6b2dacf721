resource "orders-db" {
  handle = "production/DATABASE_URL"
  endpoint "primary" {
    url = "mysql://app@db1.internal/orders"
    tls { server_name = "db1.example" }
  }
  endpoint "standby" { url = "mysql://app@db2.internal/orders" }
  probe {
    tls { ca_file = "/etc/ssl/orders-ca.pem" }
  }
}
