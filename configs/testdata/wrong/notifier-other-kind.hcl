resource "cache" {
  handle = "production/CACHE_URL"
  endpoint "a" { url = "memcached://cache1.internal" }
  endpoint "b" { url = "memcached://cache2.internal" }
}
notifier "slack" "ops-chat" {
  url     = "https://hooks.example/hunter2"
  channel = "#ops"
}
notifier "alertmanager" "am" {
  url = "http://127.0.0.1:9093"
}
notifier "pagerduty" "pager" {
  routing_kye = "hunter2"
  tls {
    ca_file = "/etc/ssl/our-ca.pem"
  }
}
notifier "email" "mail" {
  host = "mail.internal"
}
