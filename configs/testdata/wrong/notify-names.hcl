defaults {
  notify = ["ops-caht", "nobody", env("WORD")]
}
resource "cache" {
  handle = "production/CACHE_URL"
  endpoint "a" { url = "memcached://cache1.internal" }
  endpoint "b" { url = "memcached://cache2.internal" }
  notify = ["ops-chat", "ops-chat", "lost"]
}
notifier "slack" "ops-chat" {
  webhook_url = file("/run/secrets/slack")
}
notifier "slak" "lost" {
  webhook_url = file("/run/secrets/slack")
}
