DATABASE_URL={{ keyOrDefault "production/DATABASE_URL" "mysql://localhost/orders" }}
{{ if keyExists "production/JDBC_URL" }}JDBC={{ key "production/JDBC_URL@dc1" }}{{ end }}
MAIL={{ key "production/MAIL_URL" }}
{{ range tree "production" }}{{ .Key }}={{ .Value }}{{ end }}
{{ with $k := env "KEY" }}{{ key (printf "production/%s" $k) }}{{ end }}
