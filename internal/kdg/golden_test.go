package kdg

// What the templates give for the seed of TestGolden. These bytes only change with an entry in the release notes:
// people keep seeds.
const (
	goldenNormal   = "{    \"customerId\": \"48\",    \"transactionAmount\": 12,    \"sourceIp\" : \"194.79.136.181\",    \"status\": \"OK\",\"transactionTime\": \"2026-03-03T14:05:09+01:00\"      }\n"
	goldenAbnormal = "{    \"customerId\": \"48\",    \"transactionAmount\": 12,    \"sourceIp\" : \"221.233.116.256\",    \"status\": \"OK\",\"transactionTime\": \"2026-03-03T14:05:09+01:00\"      }\n"
	goldenLog      = "245.197.206.25 - Adonis [03/Mar/2026:14:05:09 +0100] \"DELETE /wp-content\" 2358\n"
)
