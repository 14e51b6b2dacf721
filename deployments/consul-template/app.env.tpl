{{- /* What the application reads. `key` waits: while the key is not there, nothing is
       rendered and the application is not started. When a key that was there is deleted,
       the last value stays. So never delete a handle to say something; keyOrDefault would
       render its default in both cases, and the application would connect to that. */ -}}
DATABASE_URL={{ key "production/DATABASE_URL" }}
