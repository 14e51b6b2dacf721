resource "cache" {
  handle = "production/CACHE_URL"
  endpoint "a" { url = "memcached://cache1.internal" }
  endpoint "b" { url = "memcached://cache2.internal" }
}
notifier "slack" "ops-chat" {
  webhook_url = file("/run/secrets/slack")
}
notifier "slack" {
  webhook_url = "https://hooks.example/hunter2"
}
notifier "email" "ops-chat" {
  smtp = "smtp://mail.internal"
  from = "reattach@example.com"
  to   = ["ops@example.com"]
}
notifier "slak" "ops-chat-2" {
  webhook_url = "https://hooks.example/hunter2"
}
notifier "smoke-signal" "hill" {}
notifier "slack" "ops/chat" {
  webhook_url = file("/run/secrets/slack")
}
notifier "slack" "" {
  webhook_url = file("/run/secrets/slack")
}
