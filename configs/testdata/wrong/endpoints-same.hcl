resource "orders-db" {
  handle = "production/DATABASE_URL"
  endpoint "primary" { url = "mysql://app@db1.internal/orders" }
  endpoint "standby" { url = "mariadb://other@DB1.internal:3306/orders?x=1" }
}
