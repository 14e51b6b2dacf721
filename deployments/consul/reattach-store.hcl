# reattach with the Consul agent of agent.hcl on its own machine: a further file in
# /etc/reattach, all of whose *.hcl files are read as one.

store "consul" {
  address    = "https://127.0.0.1:8501"
  token_file = "/etc/reattach/consul-token" # with reattach-policy.hcl; read again when it changes

  tls {
    ca_file   = "/etc/reattach/tls/ca.pem"
    cert_file = "/etc/reattach/tls/client.pem" # the agent asks for one: verify_incoming
    key_file  = "/etc/reattach/tls/client.key"
  }
}
