resource "orders-db" {
  handle = "production/DATABASE_URL"
  endpoint "primary" { url = "mysql://app:${urlencode()}@db1.internal/orders" }
  endpoint "standby" { url = "mysql://app:${base64decode("hunter2!")}@db2.internal/orders" }
}
observer {
  name = jsondecode("{hunter2").name
}
