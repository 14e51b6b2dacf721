store "consul" {
  address = "http://consul.internal:8500"
  token   = ""
}
listen {
  http  = ":9778"
  pprof = true
  token = file("/run/secrets/x")
}
resource "orders-db" {
  handle = "production/DATABASE_URL"
  endpoint "primary" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db1.internal/orders" }
  endpoint "standby" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db2.internal/orders" }
}
