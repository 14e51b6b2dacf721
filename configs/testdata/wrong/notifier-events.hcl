resource "cache" {
  handle = "production/CACHE_URL"
  endpoint "a" { url = "memcached://cache1.internal" }
  endpoint "b" { url = "memcached://cache2.internal" }
}
notifier "slack" "ops-chat" {
  webhook_url = file("/run/secrets/slack")
  events      = ["failovr", "held", "held", "lunch", env("WORD")]
  severity    = "urgent"
}
notifier "slack" "dba-chat" {
  webhook_url = file("/run/secrets/slack")
  events      = []
  resolve     = "no"
  timeout     = "1h"
}
notifier "slack" "web-chat" {
  webhook_url = file("/run/secrets/slack")
  severity    = "warn"
  timeout     = 10
}
