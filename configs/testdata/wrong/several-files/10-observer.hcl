observer {
  name = "mon-a"
}
