resource "orders-db" {
  handles = {
    "production/JDBC_URL" = "jdbc:mysql://${endpoint.hots}:${endpoint.prot}/${endpoint.database}"
    "production/DSN"      = "${endpoint}"
    "production/HOST"     = "${endpont.host}"
    production/PORT       = endpoint.port
  }
  endpoint "primary" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db1.internal/orders" }
  endpoint "standby" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db2.internal/orders" }
}
