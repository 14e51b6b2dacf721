resource "r" {
  handle = "k"
  handles = {
    "a" = "%{ if endpoint.port == 1 }x%{ else }y%{ endif }"
    "b" = "%{ hunter2 }"
    "e" = [for x in ["hunter2"] : x][5]
  }
  endpoint "a" { url = "memcached://cache1" }
  endpoint "b" { url = "memcached://cache2" }
  probe {
    username = "probe"
    password = "hun%{ hunter2 }"
  }
}
resource "s" {
  handle = "s"
  endpoint "a" { url = "memcached://app:${hunter2}hunter2@cache1" }
  endpoint "b" { url = "memcached://app:x${ hunter2.hunter2[hunter2] }@cache2" }
}
