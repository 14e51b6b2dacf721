# What one observer may do on Consul with ACLs on; nothing less is enough, and
# nothing more is used. All observers may share one token, or have one each.
#
#   consul acl policy create -name reattach -rules @reattach-policy.hcl
#   consul acl token create -policy-name reattach -description "reattach mon-a"
#
# Put the SecretID that the second command prints into a file that only the
# daemon can read, and name that file in its configuration:
#
#   store "consul" {
#     address = "http://127.0.0.1:8500"
#     token   = file("/run/secrets/consul-token")
#   }
#
# The file is read again when it changes, so a token is replaced by writing the
# new one there and deleting the old one in Consul afterwards.

# The observers' own keys: states, controls, ballots, history, notices. They read,
# write, delete and list all of them; creating a key only if it is absent needs
# write as well.
key_prefix "reattach/" {
  policy = "write"
}

# The handles: one block for each key that the configuration names, exactly as it
# is written there. The observers read and rewrite these and never delete them.
# Applications, consul-template and envconsul have reader-policy.hcl instead.
key "production/DATABASE_URL" {
  policy = "write"
}
