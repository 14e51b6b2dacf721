# Three observers in three zones, which agree before anything is switched: one that
# is cut off, or dead, neither causes a failover nor keeps the others from one.
#
# Every observer has this file; only name, zone and listen.http differ. Resources,
# peers and the store are the same for all: who has another configuration of a
# resource counts for nothing in its ballots, until he is reloaded, too.
#
# They speak through Consul alone. By peers each asks the others, once a second,
# how they are: so `reattach status` on any of them shows all, and a resource is
# protected only while a majority could vote.

observer {
  name = "mon-a"
  zone = "az-1" # the rack, room or availability zone: who fails together

  peers = {
    "mon-a" = "http://10.0.1.5:9778"
    "mon-b" = "http://10.0.2.5:9778"
    "mon-c" = "http://10.0.3.5:9778"
  }
}

store "consul" {
  address = "http://127.0.0.1:8500"
  token   = file("/run/secrets/consul-token")
}

listen {
  # The others ask here, and so does Prometheus: questions only, commands go
  # through the socket.
  http = "10.0.1.5:9778"
}

resource "orders-db" {
  handle = "production/DATABASE_URL"

  endpoint "primary" { url = "mysql://app:${urlencode(file("/run/secrets/orders"))}@db1.internal:3306/orders" }
  endpoint "standby" { url = "mysql://app:${urlencode(file("/run/secrets/orders"))}@db2.internal:3306/orders" }

  require = ["writable"]

  probe {
    username = "probe"
    password = file("/run/secrets/probe")
  }
}
