resource "r" {
  handle = null
  endpoint "a" { url = null }
  endpoint "b" { url = "memcached://cache2" }
  policy {
    sustain = null
  }
}
