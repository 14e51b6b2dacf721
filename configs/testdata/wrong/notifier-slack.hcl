resource "cache" {
  handle = "production/CACHE_URL"
  endpoint "a" { url = "memcached://cache1.internal" }
  endpoint "b" { url = "memcached://cache2.internal" }
}
notifier "slack" "channel" {
  webhook_url = "#ops"
}
notifier "slack" "empty" {
  webhook_url = file("/run/secrets/empty")
}
notifier "slack" "scheme" {
  webhook_url = "slack://hooks.slack.com/services/T0/B0/hunter2"
}
notifier "slack" "computed" {
  webhook_url = env("WORD")
}
notifier "slack" "none" {}
