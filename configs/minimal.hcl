# The least that does something: one resource, its handle in the Consul of this
# machine, two endpoints. Everything else has a default; reference.hcl has the
# list.

resource "orders-db" {
  handle = "production/DATABASE_URL"

  endpoint "primary" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db1.internal:3306/orders" }
  endpoint "standby" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db2.internal:3306/orders" }

  # A replica that is read-only is not attached, because nothing here promotes it.
  require = ["writable"]
}
