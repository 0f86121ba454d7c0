"""What a user of ADBC's Flight SQL driver does. Arguments: the port, and for a server with TLS the file of its certificate, with
user and password in the environment. Needs the table a (k int PRIMARY KEY, w text), empty.

Prints a line for each step that went well, and fails at the first that did not."""

import os
import sys

import adbc_driver_flightsql.dbapi as flight
import pyarrow
import pyarrow.compute

ROWS = 1000
INGESTED = 1_000_000


def equal(wanted, found, what):
    if wanted != found:
        raise AssertionError(f"{what}: {found!r} instead of {wanted!r}")


def refused(action, words, sends=False):
    """Whether the server refuses it in these words. Of what it `sends` when the refusal comes the driver (1.13) tells nothing but that."""
    try:
        action()
    except flight.Error as error:
        if words not in str(error) and not (sends and "failure writing" in str(error) and "EOF" in str(error)):
            raise AssertionError(f"{error} instead of {words!r}") from error
        return
    raise AssertionError(f"it was not refused: {words}")


def value(cursor, sql):
    cursor.execute(sql)
    return cursor.fetchone()[0]


options = {"username": os.environ.get("DAMSON_USER", "adbc"), "password": os.environ.get("DAMSON_PASSWORD", "any")}
uri = f"grpc://127.0.0.1:{sys.argv[1]}"
if len(sys.argv) > 2:
    uri = f"grpc+tls://127.0.0.1:{sys.argv[1]}"
    with open(sys.argv[2]) as certificate:
        options["adbc.flight.sql.client_option.tls_root_certs"] = certificate.read()
with flight.connect(uri, db_kwargs=options, autocommit=True) as connection:
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

        cursor.execute("SET parallel_retrieve = on")
        query = f"SELECT x.k * {ROWS} + y.k AS n, y.w FROM a x, a y"
        streams, _ = cursor.adbc_execute_partitions(query)
        equal(2, len(streams), "streams")
        with flight.connect(uri, db_kwargs=options, autocommit=True) as other, other.cursor() as reader:
            reader.adbc_read_partition(streams[1])
            shares = [reader.fetch_arrow_table()]
            cursor.adbc_read_partition(streams[0])
            shares.append(cursor.fetch_arrow_table())
        equal(ROWS * ROWS, sum(share.num_rows for share in shares), "rows of partitions that two connections read")
        numbers = {number for share in shares for number in share.column("n").to_pylist()}
        equal(ROWS * ROWS, len(numbers), "different rows of partitions")
        cursor.execute(query)
        table = cursor.fetch_arrow_table()
        equal(ROWS * ROWS, table.num_rows, "rows of all streams")
        equal(ROWS * ROWS, len(set(table.column("n").to_pylist())), "different rows of all streams")
        cursor.execute("SET parallel_retrieve = off")
        print("passed parallel")

        numbers = pyarrow.array(range(INGESTED), pyarrow.int64())
        words = numbers.cast(pyarrow.string())
        words = pyarrow.compute.if_else(pyarrow.compute.less(numbers, 100), pyarrow.scalar(None, pyarrow.string()), words)
        kinds = pyarrow.array(["odd", "even"] * (INGESTED // 2)).dictionary_encode()
        table = pyarrow.table({"N": numbers, "w": words, "kind": kinds})
        equal(INGESTED, cursor.adbc_ingest("Ingested", table.to_reader(max_chunksize=100_000), mode="create"), "the number that an ingest gives")
        equal(INGESTED * (INGESTED - 1) // 2, value(cursor, 'SELECT sum("N")::bigint FROM "Ingested"'), "their sum")
        equal(100, value(cursor, 'SELECT count(*) FROM "Ingested" WHERE w IS NULL AND "N" < 100'), "NULLs")
        equal(INGESTED // 2, value(cursor, """SELECT count(*) FROM "Ingested" WHERE kind = 'odd'"""), "encoded texts")
        few = table.slice(0, 10)
        refused(lambda: cursor.adbc_ingest("Ingested", few, mode="create"), 'relation "Ingested" already exists', sends=True)
        equal(10, cursor.adbc_ingest("Ingested", few, mode="append"), "appended")
        equal(10, cursor.adbc_ingest("Ingested", few, mode="create_append"), "appended to what is there")
        equal(INGESTED + 20, value(cursor, 'SELECT count(*) FROM "Ingested"'), "all rows")
        equal(10, cursor.adbc_ingest("Ingested", few, mode="replace"), "rows in place of others")
        equal(10, value(cursor, 'SELECT count(*) FROM "Ingested"'), "the rows that are left")
        refused(lambda: cursor.adbc_ingest("absent", few, mode="append"), 'relation "absent" does not exist', sends=True)
        refused(lambda: cursor.adbc_ingest("few", few, mode="create", temporary=True), "temporary tables", sends=True)
        cursor.execute("CREATE SCHEMA made")
        reader = table.to_reader(max_chunksize=1000)
        equal(INGESTED, cursor.adbc_ingest("t", reader, mode="create", db_schema_name="made"), "rows of a reader")
        equal(INGESTED, value(cursor, "SELECT count(*) FROM made.t"), "rows in a schema")

with flight.connect(uri, db_kwargs=options) as connection:
    with connection.cursor() as cursor:
        equal(10, cursor.adbc_ingest("undone", few, mode="create"), "rows of a transaction")
        equal(10, value(cursor, "SELECT count(*) FROM undone"), "rows that the transaction sees")
        connection.rollback()
        refused(lambda: cursor.execute("SELECT 1 FROM undone"), "does not exist")
        connection.rollback()
        equal(10, cursor.adbc_ingest("done", few, mode="create"), "rows of another transaction")
        connection.commit()
        equal(10, value(cursor, "SELECT count(*) FROM done"), "rows that were committed")
        print("passed ingest")
