resource "orders-db" {
  handle = "production/DATABASE_URL"
  endpoint "primary" { url = env("DB_URL") }
}
