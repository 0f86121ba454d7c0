"""What a user of ADBC's Flight SQL driver does. Argument: the port. Needs the table a (k int PRIMARY KEY, w text), empty.

Prints a line for each step that went well, and fails at the first that did not."""

import sys

import adbc_driver_flightsql.dbapi as flight
import pyarrow

ROWS = 1000


def equal(wanted, found, what):
    if wanted != found:
        raise AssertionError(f"{what}: {found!r} instead of {wanted!r}")


def value(cursor, sql):
    cursor.execute(sql)
    return cursor.fetchone()[0]


uri = f"grpc://127.0.0.1:{sys.argv[1]}"
with flight.connect(uri, db_kwargs={"username": "adbc", "password": "any"}, autocommit=True) as connection:
    with connection.cursor() as cursor:
        equal(1, value(cursor, "SELECT 1"), "SELECT 1")
        print("passed connect")

        equal("damson", connection.adbc_current_catalog, "catalog")
        equal("public", connection.adbc_current_db_schema, "schema")
        equal(["k", "w"], connection.adbc_get_table_schema("a").names, "columns")
        print("passed metadata")

        rows = pyarrow.record_batch(
            [pyarrow.array(range(ROWS), pyarrow.int32()), pyarrow.array([f"w{k}" for k in range(ROWS)])], ["k", "w"]
        )
        cursor.executemany("INSERT INTO a (k, w) VALUES ($1, $2)", rows)
        equal(ROWS, cursor.rowcount, "the number that executemany gives")
        equal(ROWS, value(cursor, "SELECT count(*) FROM a WHERE w = 'w' || k::text"), "rows of the batch")
        with connection.cursor() as change:
            change.adbc_statement.set_sql_query("UPDATE a SET w = w WHERE k < 10")
            equal(10, change.adbc_statement.execute_update(), "the number that execute_update gives")
        print("passed batch")

        cursor.execute("SELECT w FROM a WHERE k = $1", (7,))
        equal([("w7",)], cursor.fetchall(), "the row of a parameter")
        print("passed parameters")

        cursor.execute(f"SELECT x.k * {ROWS} + y.k AS n, y.w FROM a x, a y")
        table = cursor.fetch_arrow_table()
        equal(ROWS * ROWS, table.num_rows, "rows")
        equal(ROWS * ROWS, len(set(table.column("n").to_pylist())), "different rows")
        print("passed rows")
