# A Consul server with ACLs and TLS: /etc/consul.d/consul.hcl on each of three.
# Tried with Consul 1.22.7, by a failover through one such server and agent.hcl;
# never run here: three servers on machines of their own, and encrypted gossip.
#
# The certificates are made once, on a machine that keeps the authority's key:
#
#   consul tls ca create
#   consul tls cert create -server -dc dc1 -additional-ipaddress 10.0.1.11
#   consul tls cert create -client -dc dc1        # for each agent, and for reattach
#   consul keygen                                 # encrypt, below

server           = true
bootstrap_expect = 3 # three servers: one may be away
datacenter       = "dc1"
data_dir         = "/var/lib/consul"
bind_addr        = "10.0.1.11" # this server's own address
retry_join       = ["10.0.1.11", "10.0.1.12", "10.0.1.13"]

# Gossip between agents; the same key on all. It is a secret: keep it in a file of
# its own in this directory, as { "encrypt": "…" }, that only consul can read.

# People and agents on other machines do not ask a server: only its own machine does.
client_addr = "127.0.0.1"
ports {
  http  = -1 # nothing unencrypted
  https = 8501
}

tls {
  defaults {
    ca_file         = "/etc/consul.d/tls/ca.pem"
    cert_file       = "/etc/consul.d/tls/server.pem"
    key_file        = "/etc/consul.d/tls/server.key"
    verify_incoming = true # who asks shows a certificate of this authority: RPC, and https
    verify_outgoing = true
  }
  internal_rpc {
    verify_server_hostname = true # only who holds a server's certificate is a server
  }
}

acl {
  enabled        = true
  default_policy = "deny" # a handle holds a password: nobody reads it without a token

  # Tokens outlive a restart; set the agent's by consul acl set-agent-token agent TOKEN.
  enable_token_persistence = true

  # While the servers of a primary datacenter elsewhere are away, what was known of
  # a token goes on being valid.
  down_policy = "extend-cache"
}

# A leader that is lost is replaced within about 2 s, and not 10: so long nothing
# is switched.
performance {
  raft_multiplier = 1
}
