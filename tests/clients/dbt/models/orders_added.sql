{{ config(materialized='incremental', unique_key='id') }}
select id, customer_id, ordered_on, amount from {{ ref('raw_orders') }}
{% if is_incremental() %}
where ordered_on >= (select max(ordered_on) from {{ this }})
{% endif %}
