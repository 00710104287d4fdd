CREATE EXTERNAL TABLE IF NOT EXISTS `shop`.`orders` (
  `select` string,
  `n` bigint,
  `price` decimal(9,2),
  `x` double,
  `paid` boolean,
  `at` timestamp
)
PARTITIONED BY (
  `partition_0` string
)
ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'
STORED AS TEXTFILE
LOCATION 's3://lake/'
TBLPROPERTIES (
  'classification' = 'json',
  'projection.enabled' = 'true',
  'projection.partition_0.type' = 'date',
  'projection.partition_0.format' = '\'it\'\'s \'yyyy-MM-dd-HH',
  'projection.partition_0.range' = 'it\'s 2020-01-01-00,NOW+1DAYS',
  'projection.partition_0.interval' = '1',
  'projection.partition_0.interval.unit' = 'HOURS',
  'storage.location.template' = 's3://lake/${partition_0}/'
)
