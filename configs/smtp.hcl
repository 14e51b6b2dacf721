# Mail relays: smtp:// (port 25, STARTTLS where it is offered), submission://
# (port 587, STARTTLS and a verified certificate), smtps:// (port 465, TLS from
# the first byte).
#
# The probe greets, encrypts and logs in as an application would, and never
# sends a mail. No session is held: each would keep a server process busy.

resource "mail" {
  handle = "production/SMTP_URL"

  endpoint "relay-1" { url = "submission://app:${urlencode(file("/run/secrets/mail"))}@relay1.internal" }
  endpoint "relay-2" { url = "submission://app:${urlencode(file("/run/secrets/mail"))}@relay2.internal" }

  policy {
    interval = "30s"
    sustain  = "30s"
  }
}
