# What reattach watches. As shipped, it watches nothing and writes nothing.
#
#   reattach check                           every mistake in this directory at once
#   sudo systemctl enable --now reattach     start it, now and at each boot
#   sudo systemctl reload reattach           take in what changed
#
# Every *.hcl and *.json file in /etc/reattach is read, so a resource may have a
# file of its own. All settings: /usr/share/doc/reattach/examples/reference.hcl

# Where applications read their handles: the Consul agent of this machine.
store "consul" {
  address = "http://127.0.0.1:8500"

  # With ACLs on. The least policy is examples/consul/reattach-policy.hcl. The file
  # has to be readable by the daemon: chown root:reattach, chmod 0640.
  #token = file("/etc/reattach/consul-token")
}

defaults {
  policy {
    # Everything is done but writing a handle: `reattach events` and `reattach
    # explain` show what would have been switched, and why. Set "act" (here, or in
    # the policy of one resource) once they have convinced you.
    mode = "observe"
  }
}

# One backing service as applications see it: remove the first # of each line from
# here, and put in your own key, servers and passwords. The handle may exist already;
# its value then has to be one of the two URLs.

#resource "orders-db" {
#  handle = "production/DATABASE_URL"
#
#  endpoint "primary" { url = "mysql://app:${urlencode(file("/etc/reattach/orders-db.password"))}@db1.internal:3306/orders" }
#  endpoint "standby" { url = "mysql://app:${urlencode(file("/etc/reattach/orders-db.password"))}@db2.internal:3306/orders" }
#
#  # A replica that is read-only is not attached, because nothing here promotes it.
#  require = ["writable"]
#}
