store "embedded" {}
listen {
  http = ""
}
observer {
  peers = {
    "mon-a" = "http://10.0.1.5:9778"
    "mon-b" = "http://10.0.2.5:9778"
    "mon-c" = "http://10.0.2.5:9778/"
    "mon-d" = "http://10.0.4.5:9778"
  }
}
resource "orders-db" {
  handle = "production/DATABASE_URL"
  endpoint "primary" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db1.internal/orders" }
  endpoint "standby" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db2.internal/orders" }
}
