resource "orders-db" {
  handle = "production/DATABASE_URL"
  endpoint "primary" {
  }
  endpoint "standby" {
    ulr = "mysql://app:hunter2@db2.internal/orders"
  }
}
