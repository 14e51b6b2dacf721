resource "cache" {
  handle = "production/CACHE_URL"
  endpoint "a" { url = "memcached://cache1.internal" }
  endpoint "b" { url = "memcached://cache2.internal" }
}
notifier "slack" "chat" {
  webhook_url = "http://hooks.internal/services/hunter2"
}
notifier "pagerduty" "pager" {
  routing_key = file("/run/secrets/pagerduty")
  url         = "http://pager.internal/v2/enqueue"
}
notifier "webhook" "hook" {
  url   = "http://hooks.internal/reattach"
  token = file("/run/secrets/token")
}
notifier "webhook" "user" {
  url = "http://reattach:${env("WORD")}@hooks.internal/reattach"
}
notifier "alertmanager" "am" {
  urls  = ["http://am.internal:9093", "http://127.0.0.1:9093"]
  token = file("/run/secrets/token")
}
