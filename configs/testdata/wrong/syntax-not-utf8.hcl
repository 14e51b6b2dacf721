observer {
  name = "mon-ÿþ"
}
