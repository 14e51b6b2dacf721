resource "cache" {
  handle = "production/CACHE_URL"
  endpoint "a" { url = "memcached://cache1.internal" }
  endpoint "b" { url = "memcached://cache2.internal" }
}
notifier "webhook" "scheme" {
  url   = "ftp://hooks.internal/reattach"
  token = ""
}
notifier "webhook" "broken" {
  url    = "hooks.internal:8080/hunter2hunter2hunter2"
  secret = env("EMPTY")
}
notifier "webhook" "body" {
  url  = "https://hooks.internal/reattach"
  body = "{{.Nothing}}"
}
notifier "webhook" "empty" {
  url  = "https://hooks.internal/reattach"
  body = " "
}
notifier "webhook" "tls" {
  url = "http://127.0.0.1:8080/reattach"
  tls {
    ca_file = "/etc/ssl/our-ca.pem"
  }
}
notifier "webhook" "certificate" {
  url = "https://hooks.internal/reattach"
  tls {
    ca_file   = "/etc/ssl/none.pem"
    cert_file = "/etc/ssl/client.pem"
  }
}
notifier "webhook" "twofold" {
  url   = "https://reattach:${env("WORD")}@hooks.internal/reattach"
  token = file("/run/secrets/token")
}
