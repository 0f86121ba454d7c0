{{ config(materialized='incremental', incremental_strategy='merge', unique_key='id') }}
select id, amount, {{ "'again'" if is_incremental() else "'first'" }} as run from {{ ref('raw_orders') }}
