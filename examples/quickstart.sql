-- A tour on the demo's cluster, with TPC-H loaded:
--     damson sql --url flight://127.0.0.1:50051 -f examples/quickstart.sql
-- It makes a schema of its own, and drops it at the end.

CREATE SCHEMA shop;

-- Facts are spread by a hash of their key: equal keys are on one segment.
CREATE TABLE shop.sales (
    sale_id     bigint NOT NULL,
    customer_id bigint NOT NULL,
    sold_on     date NOT NULL,
    amount      numeric(12,2) NOT NULL
) DISTRIBUTED BY (customer_id);

-- A table by the same key joins with it where the rows are.
CREATE TABLE shop.customers (
    customer_id bigint PRIMARY KEY,
    name        text NOT NULL,
    region_id   int
) DISTRIBUTED BY (customer_id);

-- A small table is on every segment.
CREATE TABLE shop.regions (region_id int, name varchar(25)) DISTRIBUTED REPLICATED;

-- Rows without a good key are dealt out, here compressed harder.
CREATE TABLE shop.log (logged_at timestamp, line text) WITH (compresstype=zstd, compresslevel=6) DISTRIBUTED RANDOMLY;

INSERT INTO shop.regions VALUES (1, 'north'), (2, 'south');
INSERT INTO shop.customers SELECT c_custkey, c_name, 1 + CAST(c_custkey % 2 AS int) FROM customer WHERE c_custkey <= 1000;
INSERT INTO shop.sales SELECT o_orderkey, o_custkey, o_orderdate, o_totalprice FROM orders WHERE o_custkey <= 1000;
INSERT INTO shop.log VALUES (TIMESTAMP '2026-01-01 12:00:00', 'opened'), (TIMESTAMP '2026-01-01 18:00:00', 'closed');

-- A file is loaded in the same way, in parallel on all segments:
--     COPY shop.sales FROM '/data/sales/*.csv' (FORMAT csv, HEADER);

-- Where the rows are.
SELECT gp_segment_id, count(*) AS sales FROM shop.sales GROUP BY gp_segment_id ORDER BY gp_segment_id;

SELECT r.name AS region, count(*) AS sales, sum(s.amount) AS amount, avg(s.amount) AS average
FROM shop.sales s
JOIN shop.customers c ON c.customer_id = s.customer_id
JOIN shop.regions r ON r.region_id = c.region_id
GROUP BY r.name
ORDER BY amount DESC;

SELECT customer_id, sold_on, amount, sum(amount) OVER (PARTITION BY customer_id ORDER BY sold_on, sale_id) AS so_far
FROM shop.sales WHERE customer_id <= 4 ORDER BY customer_id, sold_on, sale_id LIMIT 10;

-- The join needs no motion: both tables are distributed by the customer. Only the Gather to the master is left.
EXPLAIN SELECT c.name, s.amount FROM shop.sales s JOIN shop.customers c ON c.customer_id = s.customer_id;

-- One key is on one segment: Gather Motion 1:1.
EXPLAIN SELECT * FROM shop.sales WHERE customer_id = 5;

-- Rows, time, memory and bytes moved, over the segments.
EXPLAIN ANALYZE SELECT sold_on, sum(amount) FROM shop.sales GROUP BY sold_on;

DROP TABLE shop.sales;
DROP TABLE shop.customers;
DROP TABLE shop.regions;
DROP TABLE shop.log;
DROP SCHEMA shop;
