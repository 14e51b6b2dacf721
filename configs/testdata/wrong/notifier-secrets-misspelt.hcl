resource "cache" {
  handle = "production/CACHE_URL"
  endpoint "a" { url = "memcached://cache1.internal" }
  endpoint "b" { url = "memcached://cache2.internal" }
}
notifier "pagerduty" "pager" {
  routingkey = "hunter2"
  rooting_key = "hunter2"
  routing_key = hunter2
}
notifier "webhook" "hook" {
  url    = "https://hooks.internal/services/hunter2hunter2hunter2hunter2"
  sceret = "hunter2"
  tokne  = "hunter2"
  evnets = ["held"]
}
notifier "slack" "chat" {
  webhookurl = "https://hooks.slack.com/services/T0/B0/hunter2"
}
