store "consul" {
  token = <<EOT
hunter2
EOT
}
resource "r" {
  handle = "k"
  handles = {
    "ini" = <<-EOT
      [db]
      host = ${endpoint.hosst}
      password = hunter2
    EOT
  }
  endpoint "a" { url = "memcached://cache1" }
  endpoint "b" { url = "memcached://cache2" }
}
