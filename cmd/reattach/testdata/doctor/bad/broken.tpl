{{ key "production/DATABASE_URL" s3cr3t-of-orders %}}
