resource "orders-db" {
  handle = "production/DATABASE_URL"
  handles = {
    "production/DATABASE_URL" = "${endpoint.url}"
    "production/JDBC_URL"     = "jdbc:mysql://${endpoint.host}/x"
    "production/JDBC_URL"     = "jdbc:mysql://${endpoint.host}/y"
  }
  endpoint "primary" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db1.internal/orders" }
  endpoint "standby" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db2.internal/orders" }
}
