# A first week: reattach watches, judges, adopts what the handle says and tells
# what it would have done (`reattach events`, `reattach explain`), but writes
# no handle. Remove the defaults block to let it act.

observer {
  name = "mon-a"
}

store "consul" {
  address = "http://127.0.0.1:8500"
  token   = file("/run/secrets/consul-token")
}

defaults {
  policy {
    mode = "observe"
  }
}

resource "orders-db" {
  handle = "production/DATABASE_URL"

  endpoint "primary" { url = "mysql://app:${urlencode(file("/run/secrets/orders"))}@db1.internal:3306/orders" }
  endpoint "standby" { url = "mysql://app:${urlencode(file("/run/secrets/orders"))}@db2.internal:3306/orders" }

  # A replica that is read-only is not attached, because nothing here promotes it.
  require = ["writable"]
}

resource "sessions" {
  handle = "production/CACHE_URL"

  endpoint "a" { url = "memcached://cache1.internal" }
  endpoint "b" { url = "memcached://cache2.internal" }
}
