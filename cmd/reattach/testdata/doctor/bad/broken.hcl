template {
