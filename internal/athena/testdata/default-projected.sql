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
  'classification' = 'parquet',
  'projection.enabled' = 'true',
  'projection.dt.type' = 'date',
  'projection.dt.format' = 'yyyy-MM-dd',
  'projection.dt.range' = '2020-01-01,NOW+1DAYS',
  'projection.dt.interval' = '1',
  'projection.dt.interval.unit' = 'DAYS',
  'storage.location.template' = 's3://lake/data/dt=${dt}/'
)
