upcase = true
consul {
  token_file = "/etc/orders/consul-token"
  retry {
    attempts    = 5
    max_backoff = "2s"
  }
}
prefix { path = "production" }
prefix { path = "other/" }
prefix { path = "re" }
wait = "200ms:2s"
exec {
  command = "/usr/local/bin/orders"
  splay   = "1s"
}
