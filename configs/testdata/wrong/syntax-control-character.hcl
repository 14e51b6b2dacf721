observer {
  name = "mon-a" 
}
