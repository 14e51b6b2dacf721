resource "orders-db" {
  handle = "production/DATABASE_URL"
  endpoint "primary" { url = mysql://app:hunter2@db1.internal/orders }
}
