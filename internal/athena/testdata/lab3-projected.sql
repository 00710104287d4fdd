CREATE EXTERNAL TABLE IF NOT EXISTS `shop`.`orders` (
  `select` string,
  `n` bigint,
  `price` decimal(9,2),
  `x` double,
  `paid` boolean,
  `at` timestamp
)
PARTITIONED BY (
  `ingest_year` string,
  `ingest_month` string,
  `ingest_day` string,
  `ingest_hour` string
)
STORED AS PARQUET
LOCATION 's3://lake/T/'
TBLPROPERTIES (
  'classification' = 'parquet',
  'projection.enabled' = 'true',
  'projection.ingest_year.type' = 'integer',
  'projection.ingest_year.range' = '2020,2099',
  'projection.ingest_month.type' = 'integer',
  'projection.ingest_month.range' = '1,12',
  'projection.ingest_month.digits' = '2',
  'projection.ingest_day.type' = 'integer',
  'projection.ingest_day.range' = '1,31',
  'projection.ingest_day.digits' = '2',
  'projection.ingest_hour.type' = 'integer',
  'projection.ingest_hour.range' = '0,23',
  'projection.ingest_hour.digits' = '2',
  'storage.location.template' = 's3://lake/T/ingest_year=${ingest_year}/ingest_month=${ingest_month}/ingest_day=${ingest_day}/ingest_hour=${ingest_hour}/'
)
