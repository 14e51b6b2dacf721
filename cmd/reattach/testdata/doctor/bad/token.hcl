consul {
  token = s3cr3t-of-orders
}
