-- Errors and where they are, and notices.
CREATE TABLE pse_t (k int PRIMARY KEY, n int NOT NULL CHECK (n > 0));
--> CREATE TABLE
DROP TABLE IF EXISTS pse_nothing;
--> NOTICE: table "pse_nothing" does not exist, skipping
--> DROP TABLE

SELECT k, nothing FROM pse_t;
--> ERROR: column "nothing" does not exist
--> LINE 1: SELECT k, nothing FROM pse_t;
-->|                  ^

SELECT 1
  FROM pse_t
 WHERE nothing = 1;
--> ERROR: column "nothing" does not exist
--> LINE 3: WHERE nothing = 1;

SELEC 1;
--> ERROR: syntax error at or near "SELEC"
--> LINE 1: SELEC 1;

SELECT 'ä', 'ä' FROM pse_nothing;
--> ERROR: relation "pse_nothing" does not exist
--> LINE 1: SELECT 'ä', 'ä' FROM pse_nothing;
-->|                             ^

SELECT nothing(1);
--> ERROR: function nothing
--> LINE 1: SELECT nothing(1);

SELECT 'x'::int;
--> ERROR: invalid input syntax for type integer: "x"

INSERT INTO pse_t VALUES (1, 1), (1, 2);
--> ERROR: duplicate key value violates unique constraint "pse_t_pkey"
--> DETAIL: Key (k)=(1)
INSERT INTO pse_t VALUES (1, NULL);
--> ERROR: null value in column "n"
INSERT INTO pse_t VALUES (1, -1);
--> ERROR: new row for relation "pse_t" violates check constraint "pse_t_n_check"

\set VERBOSITY verbose
SELECT 1 / 0;
--> ERROR: 22012: division by zero
\set VERBOSITY sqlstate
SELECT 1 / 0;
--> ERROR: 22012
\set VERBOSITY default
SELECT 1 / 0;
--> ERROR: division by zero
\errverbose
--> ERROR: 22012: division by zero

COMMIT;
--> WARNING: there is no transaction in progress
--> COMMIT
BEGIN;
BEGIN;
--> WARNING: there is already a transaction in progress
ROLLBACK;

SELECT 1; SELECT nothing; SELECT 2 AS two;
--> ERROR: column "nothing" does not exist
--> two
SELECT $1;
--> ERROR: there is no parameter $1
SELECT 'open;
';
--> (1 row)
DROP TABLE pse_t;
--> DROP TABLE
