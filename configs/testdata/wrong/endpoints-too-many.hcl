resource "orders-db" {
  handle = "production/DATABASE_URL"
  endpoint "e0" { url = "memcached://cache0" }
  endpoint "e1" { url = "memcached://cache1" }
  endpoint "e2" { url = "memcached://cache2" }
  endpoint "e3" { url = "memcached://cache3" }
  endpoint "e4" { url = "memcached://cache4" }
  endpoint "e5" { url = "memcached://cache5" }
  endpoint "e6" { url = "memcached://cache6" }
  endpoint "e7" { url = "memcached://cache7" }
  endpoint "e8" { url = "memcached://cache8" }
  endpoint "e9" { url = "memcached://cache9" }
  endpoint "e10" { url = "memcached://cache10" }
  endpoint "e11" { url = "memcached://cache11" }
  endpoint "e12" { url = "memcached://cache12" }
  endpoint "e13" { url = "memcached://cache13" }
  endpoint "e14" { url = "memcached://cache14" }
  endpoint "e15" { url = "memcached://cache15" }
  endpoint "e16" { url = "memcached://cache16" }
}
