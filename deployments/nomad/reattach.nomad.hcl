# reattach as a Nomad job: nomad job run reattach.nomad.hcl
#
# Before that: an image that the clients can pull (make image IMAGE=…), your services in
# the template below, and the secrets as a Nomad variable:
#
#   nomad var put nomad/jobs/reattach orders_db=…
#
# Run by our tests: Nomad's own parser reads this, with nothing unknown in it, and the
# configuration in it passes `reattach check`. Never run by our tests: Nomad.

variable "image" {
  type    = string
  default = "registry.example.com/reattach:latest"
}

job "reattach" {
  datacenters = ["*"]
  type        = "service"

  group "reattach" {
    # One job is one observer: for three, run three, each with a name, a zone and a
    # listen.http of its own, and all of them in peers (deployments/docs/rollout.md).
    # Without canaries the old one ends before the new one starts.
    count = 1

    update {
      max_parallel     = 1
      canary           = 0
      health_check     = "checks"
      min_healthy_time = "5s"
      healthy_deadline = "2m"
      auto_revert      = true
    }

    # While it is away nothing fails over: it is started again without end, here or
    # on another client.
    restart {
      attempts = 3
      interval = "1m"
      delay    = "2s"
      mode     = "fail"
    }
    reschedule {
      delay          = "5s"
      delay_function = "exponential"
      max_delay      = "1m"
      unlimited      = true
    }

    # What was seen last and the notices that are not delivered yet go along.
    ephemeral_disk {
      size    = 300 # MB, logs included
      sticky  = true
      migrate = true
    }

    # The host's network: the Consul agent is on its loopback, and probes see what
    # applications on this client see.
    network {
      mode = "host"
      port "http" { static = 9778 }
    }

    service {
      name = "reattach"
      port = "http"
      # Whether it can judge; the task is not ended for it.
      check {
        name     = "ready"
        type     = "http"
        path     = "/-/ready"
        interval = "10s"
        timeout  = "5s"
      }
      # Whether its engine turns: a restart mends that.
      check {
        name     = "healthy"
        type     = "http"
        path     = "/-/healthy"
        interval = "10s"
        timeout  = "5s"
        check_restart {
          limit = 3
          grace = "30s"
        }
      }
    }

    task "reattach" {
      driver = "docker"
      user   = "65532:65532"

      # A conversation or a commit under way is brought to its end first.
      kill_timeout = "30s"

      # A token of this workload's own, in the file secrets/consul_token. Its role in
      # Consul wants deployments/consul/reattach-policy.hcl.
      consul {}

      config {
        image           = var.image
        args            = ["run", "--config", "/local/reattach.hcl"]
        network_mode    = "host"
        init            = true
        readonly_rootfs = true
        cap_drop        = ["all"]
        security_opt    = ["no-new-privileges"]
        mount {
          type   = "tmpfs"
          target = "/run/reattach" # control.sock: nomad alloc exec -task reattach … /usr/bin/reattach status
          tmpfs_options {
            mode = 1023 # 1777: Nomad cannot say whose it is
            size = 1048576
          }
        }
      }

      # A new configuration is taken by the running daemon. `$$` is a `$` for reattach.
      template {
        destination   = "local/reattach.hcl"
        uid           = 65532
        gid           = 65532
        perms         = "0400"
        change_mode   = "signal"
        change_signal = "SIGHUP"
        data          = <<CONFIG
observer {
  name      = "nomad"
  state_dir = "/alloc/data" # the group's disk, which goes along
}

store "consul" {
  address    = "http://127.0.0.1:8500"
  token_file = "/secrets/consul_token"
}

listen {
  http = "{{ env "NOMAD_ADDR_http" }}"
}

defaults {
  policy {
    # Everything but writing a handle, until `reattach events` has convinced you.
    mode = "observe"
  }
}

resource "orders-db" {
  handle = "production/DATABASE_URL"

  endpoint "primary" { url = "mysql://app:$${urlencode(file("/secrets/orders-db"))}@db1.internal:3306/orders" }
  endpoint "standby" { url = "mysql://app:$${urlencode(file("/secrets/orders-db"))}@db2.internal:3306/orders" }

  # A replica that is read-only is not attached, because nothing here promotes it.
  require = ["writable"]
}
CONFIG
      }

      # Read again by the daemon itself when it changes.
      template {
        destination = "secrets/orders-db"
        uid         = 65532
        gid         = 65532
        perms       = "0400"
        change_mode = "noop"
        data        = "{{ with nomadVar \"nomad/jobs/reattach\" }}{{ .orders_db }}{{ end }}"
      }

      # A throttled observer stands still, and what it saw before is void: be generous.
      resources {
        cpu        = 200 # MHz
        memory     = 128
        memory_max = 256
      }
    }
  }
}
