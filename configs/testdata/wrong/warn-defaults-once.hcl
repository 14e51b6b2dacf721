defaults {
  policy {
    sustain = "1s"
  }
}
resource "one" {
  handle = "one"
  endpoint "a" { url = "mysql://app@db1" }
  endpoint "b" { url = "mysql://app@db2" }
}
resource "two" {
  handle = "two"
  endpoint "a" { url = "mysql://app@db1" }
  endpoint "b" { url = "mysql://app@db2" }
}
