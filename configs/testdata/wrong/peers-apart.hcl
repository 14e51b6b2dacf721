store "embedded" {}
listen {
  http = "127.0.0.1:9778"
}
observer {
  zone = "az-1"
  peers = {
    "mon-a" = "http://10.0.1.5:9778"
    "mon-b" = "http://10.0.2.5:9778"
    "mon-c" = "http://10.0.3.5:9778"
  }
}
resource "orders-db" {
  handle = "production/DATABASE_URL"
  endpoint "primary" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db1.internal/orders" }
  endpoint "standby" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db2.internal/orders" }
}
