# The Consul agent beside reattach, and beside each application:
# /etc/consul.d/consul.hcl. It finds a server that is well; with the address of one
# server in reattach's configuration, that server's loss would be reattach's.
# Tried with Consul 1.22.7, by a failover through it.

server     = false
datacenter = "dc1"
data_dir   = "/var/lib/consul"
bind_addr  = "10.0.1.5" # this machine's own address
retry_join = ["10.0.1.11", "10.0.1.12", "10.0.1.13"]

# Gossip: the same { "encrypt": "…" } in a file of its own as on the servers.

client_addr = "127.0.0.1"
ports {
  http  = -1 # nothing unencrypted
  https = 8501
}

tls {
  defaults {
    ca_file         = "/etc/consul.d/tls/ca.pem"
    cert_file       = "/etc/consul.d/tls/agent.pem"
    key_file        = "/etc/consul.d/tls/agent.key"
    verify_incoming = true # who asks shows a certificate of this authority
    verify_outgoing = true
  }
  internal_rpc {
    verify_server_hostname = true # who has a client's certificate cannot pretend to be a server
  }
}

acl {
  enabled                  = true
  default_policy           = "deny"
  enable_token_persistence = true # consul acl set-agent-token agent TOKEN

  # While no server answers, what was known of a token goes on being valid.
  down_policy = "extend-cache"
}
