resource "cache" {
  handle = "production/CACHE_URL"
  endpoint "a" { url = "memcached://cache1.internal" }
  endpoint "b" { url = "memcached://cache2.internal" }
}
notifier "exec" "none" {
}
notifier "exec" "empty" {
  command = []
}
notifier "exec" "blank" {
  command = [" "]
}
notifier "exec" "text" {
  command = "/etc/reattach/tell --to ops"
}
