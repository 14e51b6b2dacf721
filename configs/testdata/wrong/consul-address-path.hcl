store "consul" {
  address = "http://127.0.0.1:8500/v1"
  tls {
    ca_file = "/etc/ssl/consul-ca.pem"
  }
}
resource "orders-db" {
  handle = "production/DATABASE_URL"
  endpoint "primary" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db1.internal/orders" }
  endpoint "standby" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db2.internal/orders" }
}
