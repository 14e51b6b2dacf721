# One machine, no Consul: handles and state are kept in a file, and applications
# read their handles from the daemon itself, which answers Consul's KV read
# calls. For consul-template:
#
#   consul { address = "127.0.0.1:9778" }

store "embedded" {
  path = "/var/lib/reattach/store.db"
}

listen {
  # On any other address than loopback readers must send a token, because the
  # handles hold passwords:
  #
  #   http       = "10.0.1.5:9778"
  #   token_file = "/run/secrets/reattach-token"
  #
  #   consul {
  #     address = "10.0.1.5:9778"
  #     token   = "…"
  #   }
  http   = "127.0.0.1:9778"
  socket = "/run/reattach/control.sock"
}

resource "orders-db" {
  handle = "production/DATABASE_URL"

  # A store of data is not attached by itself when the handle was never there:
  # say `reattach restore orders-db --to primary --reason "first day"` once, or set
  # bootstrap = true.
  endpoint "primary" { url = "mysql://app:${urlencode(file("/run/secrets/orders"))}@127.0.0.1:3306/orders" }
  endpoint "standby" { url = "mysql://app:${urlencode(file("/run/secrets/orders"))}@10.0.1.6:3306/orders" }

  # A replica that is read-only is not attached, because nothing here promotes it.
  require = ["writable"]
}
