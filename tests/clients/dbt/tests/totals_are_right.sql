select * from {{ ref('totals') }} where total <> case customer_id when 1 then 12.75 when 2 then 7 else 0.75 end
