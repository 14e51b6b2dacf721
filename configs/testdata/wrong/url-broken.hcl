resource "orders-db" {
  handle = "production/DATABASE_URL"
  endpoint "no-scheme" { url = "db1.internal:3306" }
  endpoint "no-host" { url = "mysql:///orders" }
  endpoint "bad-escape" { url = "mysql://app:hunter2%zz@db1.internal/orders" }
  endpoint "hash" { url = "mysql://app:hunter2#x@db1.internal/orders" }
  endpoint "slash" { url = "mysql://app:hunter2/x@db1.internal/orders" }
  endpoint "no-at" { url = "mysql://app:hunter2.db1.internal/orders" }
  endpoint "at" { url = "mysql://app:hunter2@hunter2@db1.internal:port/orders" }
  endpoint "space" { url = "mysql://app:hunter2 x@db1.internal/orders" }
  endpoint "empty" { url = "" }
  endpoint "env" { url = env("BAD_URL") }
}
