defaults {
  notify = ["ops-chat"]
}
resource "orders-db" {
  handle = "production/DATABASE_URL"
  endpoint "primary" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db1.internal/orders" }
  endpoint "standby" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db2.internal/orders" }
  notify = ["ops-chat"]
}
notifier "slack" "ops-chat" {
  webhook_url = "https://hooks.example/hunter2"
  channel = "#ops"
}
notifier "slack" { webhook_url = "https://hooks.example/hunter2" }
