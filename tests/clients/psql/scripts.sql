-- Variables, results that go into them, commands that run or show the query buffer, cursors of psql, files.
\set name pss_t
\set word 'it''s'
CREATE TABLE :"name" (k int PRIMARY KEY, w text);
--> CREATE TABLE
INSERT INTO :name VALUES (1, :'word'), (2, 'two'), (3, NULL);
--> INSERT 0 3
SELECT k, w FROM pss_t ORDER BY k;
--> k | w
--> 1 | it's
--> 2 | two
--> 3 |
--> (3 rows)

\pset null '(null)'
SELECT w FROM pss_t WHERE k = 3;
--> (null)
--> (1 row)
\pset null ''

SELECT count(*) AS rows, max(k) AS last FROM pss_t \gset got_
\echo :got_rows and :got_last
--> 3 and 3

SELECT k, w FROM pss_t WHERE k = 1 \gx
--> -[ RECORD 1 ]
--> k | 1
--> w | it's

SELECT k FROM pss_t WHERE k = 2
\g
--> k
--> 2

\x
SELECT k FROM pss_t WHERE k = 2;
--> Expanded display is on.
--> -[ RECORD 1 ]
--> k | 2
\x
--> Expanded display is off.

SELECT 'SELECT ' || k || ' AS made' FROM pss_t WHERE k < 3 ORDER BY k \gexec
--> made
--> 1
--> made
--> 2

SELECT k, w, 1 AS n FROM pss_t WHERE k < 3 ORDER BY k \crosstabview k w n
--> k | it's | two
--> 1 | 1 |
--> 2 | | 1

SELECT k AS number, w AS word, 1.5::numeric(5,2) AS exact, timestamptz '2026-01-01' AS at FROM pss_t \gdesc
--> Column | Type
--> number | integer
--> word | text
--> exact | numeric(5,2)
--> at | timestamp with time zone

\set FETCH_COUNT 100
SELECT x FROM generate_series(1, 1050) AS g(x) ORDER BY x;
--> 1
--> 101
--> 1050
--> (1050 rows)
SELECT 1 / 0;
--> ERROR: division by zero
\set FETCH_COUNT 0

\timing on
--> Timing is on.
SELECT 1 AS timed;
--> timed
--> Time:
\timing off
--> Timing is off.

\if :{?got_rows}
\echo it is there
\else
\echo it is not
\endif
--> it is there

SELECT k FROM pss_t WHERE k = 99;
\echo :ROW_COUNT rows, :SQLSTATE
--> (0 rows)
--> 0 rows, 00000
SELECT nothing;
\echo :ERROR :SQLSTATE :LAST_ERROR_MESSAGE
--> ERROR: column "nothing" does not exist
--> true 42703

\a
\t
\f ,
SELECT k, w FROM pss_t ORDER BY k;
--> 1,it's
--> 2,two
\a
\t
\pset format csv
SELECT k, w FROM pss_t WHERE k < 3 ORDER BY k;
--> k,w
--> 1,it's
\pset format aligned

\echo :ENCODING of :SERVER_VERSION_NAME
--> UTF8 of 1

BEGIN;
INSERT INTO pss_t VALUES (4, 'four');
SELECT nothing;
--> ERROR: column "nothing" does not exist
SELECT 1;
--> ERROR: current transaction is aborted, commands ignored until end of transaction block
ROLLBACK;
--> ROLLBACK
\set ON_ERROR_ROLLBACK on
BEGIN;
INSERT INTO pss_t VALUES (4, 'four');
SELECT nothing;
--> ERROR: column "nothing" does not exist
INSERT INTO pss_t VALUES (5, 'five');
COMMIT;
--> COMMIT
\set ON_ERROR_ROLLBACK off
SELECT count(*) AS kept FROM pss_t;
--> kept
--> 5
\set AUTOCOMMIT off
DELETE FROM pss_t;
ROLLBACK;
\set AUTOCOMMIT on
SELECT count(*) AS still FROM pss_t;
--> still
--> 5
SELECT 1 AS one\; SELECT 2 AS two;
--> one
--> two

BEGIN;
DECLARE c CURSOR FOR SELECT k FROM pss_t ORDER BY k;
--> DECLARE CURSOR
FETCH 2 FROM c;
--> 1
--> 2
--> (2 rows)
MOVE 1 FROM c;
--> MOVE 1
FETCH ALL FROM c;
--> 4
--> 5
CLOSE c;
--> CLOSE CURSOR
COMMIT;

EXPLAIN SELECT * FROM pss_t WHERE k = 1;
--> QUERY PLAN
SHOW server_encoding;
--> UTF8
\drop_it
--> invalid command \drop_it
DROP TABLE pss_t;
--> DROP TABLE
