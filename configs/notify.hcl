# People are told: everything goes to a chat, what cannot wait to a pager, and
# the owners of one resource read along.
#
# A notice is sent at least once to each destination, also across restarts, and
# never delays a switch. Try a destination with: reattach notify test ops-chat

defaults {
  notify = ["ops-chat", "pager"]
}

notifier "slack" "ops-chat" {
  webhook_url = file("/run/secrets/slack")
}

# Warnings do not wake anybody here: an alert is critical for a switch, a lost
# store, and whatever is urgent.
notifier "pagerduty" "pager" {
  routing_key = file("/run/secrets/pagerduty")
  severity    = "critical"
}

# Mail to those who own the database, of what has happened to it; not that
# something is over, since nobody waits for it there.
notifier "email" "orders-team" {
  smtp    = "smtp://mail.internal"
  from    = "reattach <reattach@example.com>"
  to      = ["orders-team@example.com"]
  events  = ["failover", "switchover", "failback", "old_primary_writable"]
  resolve = false
}

resource "orders-db" {
  handle = "production/DATABASE_URL"
  notify = ["ops-chat", "pager", "orders-team"]

  endpoint "primary" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db1.internal:3306/orders" }
  endpoint "standby" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db2.internal:3306/orders" }

  # A replica that is read-only is not attached, because nothing here promotes it.
  require = ["writable"]
}

# A cache that comes and goes: whoever wants to know looks at the chat.
resource "sessions" {
  handle = "production/CACHE_URL"
  notify = ["ops-chat"]

  endpoint "a" { url = "memcached://cache1.internal" }
  endpoint "b" { url = "memcached://cache2.internal" }
}
