{{ config(materialized='table') }}
select c.customer_id, c.name, count(o.id) as orders, coalesce(sum(o.amount), 0) as total
from {{ ref('customers') }} c left join {{ ref('raw_orders') }} o on o.customer_id = c.customer_id
group by 1, 2
