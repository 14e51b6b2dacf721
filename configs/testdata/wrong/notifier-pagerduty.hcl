resource "cache" {
  handle = "production/CACHE_URL"
  endpoint "a" { url = "memcached://cache1.internal" }
  endpoint "b" { url = "memcached://cache2.internal" }
}
notifier "pagerduty" "url-as-key" {
  routing_key = "https://events.pagerduty.com/integration/hunter2/enqueue"
}
notifier "pagerduty" "url" {
  routing_key = file("/run/secrets/pagerduty")
  url         = "events.eu.pagerduty.com"
}
notifier "pagerduty" "empty" {
  routing_key = env("EMPTY")
}
