CREATE EXTERNAL TABLE IF NOT EXISTS `shop`.`orders` (
  `select` string,
  `n` bigint,
  `price` decimal(9,2),
  `x` double,
  `paid` boolean,
  `at` timestamp
)
PARTITIONED BY (
  `day` string,
  `hour` string
)
STORED AS PARQUET
LOCATION 's3://lake/a/b/'
TBLPROPERTIES (
  'classification' = 'parquet',
  'projection.enabled' = 'true',
  'projection.day.type' = 'date',
  'projection.day.format' = 'yyyyMMdd',
  'projection.day.range' = '20200101,NOW+1DAYS',
  'projection.day.interval' = '1',
  'projection.day.interval.unit' = 'DAYS',
  'projection.hour.type' = 'integer',
  'projection.hour.range' = '0,23',
  'storage.location.template' = 's3://lake/a/b/Day=${day}/static/hour=${hour}/'
)
