CREATE EXTERNAL TABLE IF NOT EXISTS `shop`.`orders` (
  `select` string,
  `n` bigint,
  `price` decimal(9,2),
  `x` double,
  `paid` boolean,
  `at` timestamp
)
PARTITIONED BY (
  `dt` string
)
STORED AS PARQUET
LOCATION 's3://lake/data/'
TBLPROPERTIES (
  'classification' = 'parquet'
)
