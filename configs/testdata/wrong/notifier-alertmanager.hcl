resource "cache" {
  handle = "production/CACHE_URL"
  endpoint "a" { url = "memcached://cache1.internal" }
  endpoint "b" { url = "memcached://cache2.internal" }
}
notifier "alertmanager" "empty" {
  urls = []
}
notifier "alertmanager" "api" {
  urls = ["http://am1.internal:9093/api/v2/alerts", "http://am2.internal:9093/api/v2", "http://am3.internal:9093/?x=1"]
}
notifier "alertmanager" "twice" {
  urls = ["http://am.internal:9093", "http://AM.internal:9093/"]
}
notifier "alertmanager" "port" {
  urls = ["am.internal:9093"]
}
notifier "alertmanager" "twofold" {
  urls  = ["https://u:hunter2@am.internal:9093"]
  token = file("/run/secrets/token")
}
notifier "alertmanager" "tls" {
  urls = ["http://127.0.0.1:9093"]
  tls {
    server_name = "am.internal"
  }
}
