observer {
  name = "x ${env("WORD")}"
}
store "consul" {
  address = "${env("WORD")}:8500"
  tls {
    ca_file = env("WORD")
  }
}
resource "r1" {
  handle = env(env("WORD"))
  endpoint "a" { url = "memcached://cache1" }
  endpoint "b" { url = "memcached://cache2" }
}
resource "r2" {
  handle = file(file("/run/secrets/path"))
  endpoint "a" { url = "memcached://cache1" }
  endpoint "b" { url = "memcached://cache2" }
}
resource "r3" {
  handle = env("DB_URL")
  endpoint "a" { url = "memcached://cache1" }
  endpoint "b" { url = "memcached://cache2" }
}
resource "r4" {
  handle = "mysql://app:hunter2@db1/orders"
  endpoint "a" { url = "memcached://cache1" }
  endpoint "b" { url = "memcached://cache2" }
}
resource "r5" {
  handle = "/${env("WORD")}"
  endpoint "a" { url = "memcached://cache1" }
  endpoint "b" { url = "memcached://cache2" }
}
resource "r6" {
  handle  = env("WORD")
  handles = {
    (env("WORD")) = endpoint.host
  }
  endpoint "a" { url = "memcached://cache1" }
  endpoint "b" { url = "memcached://cache2" }
}
resource "r7" {
  handle  = env("WORD")
  endpoint "a" { url = "memcached://cache1" }
  endpoint "b" { url = "memcached://cache2" }
}
