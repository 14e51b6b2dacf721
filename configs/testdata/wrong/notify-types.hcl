defaults {
  notify = "ops-chat"
}
resource "cache" {
  handle = "production/CACHE_URL"
  endpoint "a" { url = "memcached://cache1.internal" }
  endpoint "b" { url = "memcached://cache2.internal" }
  notify = ["ops-chat", 5]
}
notifier "slack" "ops-chat" {
  webhook_url = file("/run/secrets/slack")
}
