# What the pod watches; kustomization.yaml makes a ConfigMap of it. Secrets are files of
# the Secret in secret.yaml.

observer {
  name = env("OBSERVER") # in place of the pod's name, which changes
}

store "consul" {
  address = "https://consul-server.consul.svc:8501"
  token   = file("/run/secrets/reattach/consul-token")
}

listen {
  http = "0.0.0.0:9778"
}

defaults {
  policy {
    # Everything but writing a handle, until `reattach events` has convinced you.
    mode = "observe"

    # For servers behind a headless Service: when its last pod goes, so does the name.
    # Elsewhere that is for DNS to mend, and no evidence.
    #also_evidence = ["resolve"]
    #also_sustain  = "30s"
  }
}

resource "orders-db" {
  handle = "production/DATABASE_URL"

  endpoint "primary" { url = "mysql://app:${urlencode(file("/run/secrets/reattach/orders-db"))}@db1.internal:3306/orders" }
  endpoint "standby" { url = "mysql://app:${urlencode(file("/run/secrets/reattach/orders-db"))}@db2.internal:3306/orders" }

  # A replica that is read-only is not attached, because nothing here promotes it.
  require = ["writable"]
}
