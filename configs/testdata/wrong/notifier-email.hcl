resource "cache" {
  handle = "production/CACHE_URL"
  endpoint "a" { url = "memcached://cache1.internal" }
  endpoint "b" { url = "memcached://cache2.internal" }
}
notifier "email" "none" {
}
notifier "email" "addresses" {
  smtp = "smtp://mail.internal"
  from = "the ops team"
  to   = ["ops@example.com", "ops at example.com"]
}
notifier "email" "nobody" {
  smtp = "mail.internal:25"
  from = "reattach@example.com"
  to   = []
}
notifier "email" "path" {
  smtp = "smtp://mail.internal/inbox"
  from = "reattach@example.com"
  to   = ["ops@example.com"]
}
notifier "email" "user" {
  smtp     = "smtps://ops:hunter2@mail.internal"
  from     = "reattach@example.com"
  to       = ["ops@example.com"]
  username = "ops"
}
notifier "email" "password" {
  smtp     = "smtps://mail.internal"
  from     = "reattach@example.com"
  to       = ["ops@example.com"]
  password = file("/run/secrets/smtp")
}
