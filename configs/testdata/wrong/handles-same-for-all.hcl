resource "orders-db" {
  handle = "production/DATABASE_URL"
  handles = {
    "production/DB_HOST" = endpoint.host
    "production/DB_PORT" = endpoint.port
    "production/DB_PASS" = endpoint.password
  }
  endpoint "primary" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db1.internal/orders" }
  endpoint "standby" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db2.internal/orders" }
}
