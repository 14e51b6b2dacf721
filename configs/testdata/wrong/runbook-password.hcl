defaults {
  runbook = "https://ops:hunter2@wiki.internal/reattach"
}
resource "cache" {
  handle = "production/CACHE_URL"
  endpoint "a" { url = "memcached://cache1.internal" }
  endpoint "b" { url = "memcached://cache2.internal" }
}
