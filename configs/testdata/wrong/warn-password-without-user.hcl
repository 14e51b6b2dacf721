resource "cache" {
  handle = "production/DATABASE_URL"
  endpoint "a" { url = "memcached://cache1" }
  endpoint "b" { url = "memcached://cache2" }
  probe {
    password = file("/run/secrets/cache")
  }
}
