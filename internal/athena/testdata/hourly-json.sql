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
ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'
STORED AS TEXTFILE
LOCATION 's3://lake/'
TBLPROPERTIES (
  'classification' = 'json',
  'projection.enabled' = 'true',
  'projection.dt.type' = 'date',
  'projection.dt.format' = '\'it\'\'s \'yyyy-MM-dd-HH',
  'projection.dt.range' = 'it\'s 2020-01-01-00,NOW+1DAYS',
  'projection.dt.interval' = '1',
  'projection.dt.interval.unit' = 'HOURS',
  'storage.location.template' = 's3://lake/${dt}/'
)
