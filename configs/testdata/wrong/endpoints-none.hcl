resource "orders-db" {
  handle = "production/DATABASE_URL"
  bootstrap = true
}
