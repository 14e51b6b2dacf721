defaults {
  notify = []
}
resource "cache" {
  handle = "production/CACHE_URL"
  endpoint "a" { url = "memcached://cache1.internal" }
  endpoint "b" { url = "memcached://cache2.internal" }
  notify = ["dba-chat"]
}
notifier "slack" "ops-chat" {
  webhook_url = file("/run/secrets/slack")
}
notifier "slack" "dba-chat" {
  webhook_url = file("/run/secrets/slack")
}
