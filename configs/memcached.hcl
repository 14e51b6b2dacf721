# memcached (memcached://, memcache://).
#
# A cache that was left may hold old values, so it is no target again until it
# was restarted. With "auto" it then becomes the first choice again.

resource "sessions" {
  handle = "production/CACHE_URL"
  handles = {
    "production/CACHE_SERVER" = "${endpoint.host}:${endpoint.port}"
  }

  endpoint "a" { url = "memcached://cache1.internal" }
  endpoint "b" { url = "memcached://cache2.internal" }
  endpoint "c" { url = "memcached://cache3.internal" }

  policy {
    profile        = "fast" # a lost cache costs less than a slow switch
    failback       = "auto"
    failback_after = "10m"
  }
}
