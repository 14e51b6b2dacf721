observer {
  name = 
}
