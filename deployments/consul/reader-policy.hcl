# What an application, its consul-template or its envconsul may do: read the
# handles that it attaches by, and nothing else. One policy for each application.
#
#   consul acl policy create -name orders-reader -rules @reader-policy.hcl
#   consul acl token create -policy-name orders-reader -description "orders on app-1"
#
# Put the SecretID into a file that only the application's user can read.

# One block for each handle that it reads, exactly as it is written in reattach's
# configuration. It serves `key` in a template, and envconsul's `prefix`, which is
# then shown these keys and no others below it. With key_prefix it would be shown
# the handles, and so the passwords, of all other applications there.
key "production/DATABASE_URL" {
  policy = "read"
}
