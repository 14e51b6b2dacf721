resource "orders-db" {
  handle = "production/DATABASE_URL"
  endpoint "primary" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db1.internal/orders" }
  endpoint "standby" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db2.internal/orders" }
  probe {
    depth = "write"
    write { table = "canary" }
  }
}

resource "users-db" {
  handle = "production/USERS_URL"
  endpoint "primary" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db3.internal/users" }
  endpoint "standby" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db4.internal/users" }
  probe { depth = "write" }
}

resource "queue" {
  handle = "production/AMQP_URL"
  endpoint "primary" { url = "amqp://app:${urlencode(env("ORDERS_PW"))}@mq1.internal" }
  endpoint "standby" { url = "amqp://app:${urlencode(env("ORDERS_PW"))}@mq2.internal" }
  probe {
    depth = "write"
    write { table = "reattach.canary" }
  }
}

resource "mail" {
  handle = "production/SMTP_URL"
  endpoint "primary" { url = "smtp://mail1.internal" }
  endpoint "standby" { url = "smtp://mail2.internal" }
  probe { depth = "write" }
}

resource "bare-db" {
  handle = "production/BARE_URL"
  endpoint "primary" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db5.internal/users" }
  endpoint "standby" { url = "mysql://app:${urlencode(env("ORDERS_PW"))}@db6.internal/users" }
  probe { depth = "read" }
}
