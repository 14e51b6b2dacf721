consul {
  address = "127.0.0.1:8500"
  token   = "s3cr3t-of-orders"
  retry { backoff = "100ms" max_backoff = "1m" }
}
max_stale   = "10m"
kill_signal = "SIGTERM"
template {
  source      = "testdata/doctor/bad/app.tpl"
  destination = "/run/orders/app.env"
}
template {
  contents             = "{{ range ls \"reattach/state\" }}{{ .Key }}{{ end }}"
  error_on_missing_key = true
  perms                = "0600"
}
template {
  source = "testdata/doctor/bad/none.tpl"
  wait   = "1s:2s"
}
exec {
  command       = ["/usr/local/bin/orders"]
  reload_signal = "SIGHUP"
}
