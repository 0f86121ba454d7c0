"""What a user of ADBC's PostgreSQL driver does, which fetches and sends rows by binary COPY. Argument: a URL. Makes and drops tables a_…."""

import datetime as dt
import sys
from decimal import Decimal

import adbc_driver_manager
import adbc_driver_postgresql.dbapi as postgres
import pyarrow
import pyarrow.compute

from steps import equal, main, raises, step

ROWS = 50_000


def value(cursor, query, *parameters):
    cursor.execute(query, parameters or None)
    return cursor.fetchone()[0]


@step
def connect(connection):
    with connection.cursor() as cursor:
        equal(1, value(cursor, "SELECT 1"), "SELECT 1")
    info = connection.adbc_get_info()
    equal("PostgreSQL", info["vendor_name"], "vendor")


@step
def results(connection):
    query = """SELECT true AS a, 1::smallint AS b, 2 AS c, 3::bigint AS d, 1.5::real AS e, 2.5::float8 AS f, 'é' AS g, '\\x00ff'::bytea AS h,
        date '2020-01-02' AS i, time '03:04:05.000006' AS j, timestamp '2020-01-02 03:04:05.000006' AS k,
        timestamptz '2020-01-02 03:04:05+00' AS l, interval '1 month 2 days 3 seconds' AS m, NULL::int AS n"""
    with connection.cursor() as cursor:
        cursor.execute(query)
        table = cursor.fetch_arrow_table()
    types = ["bool", "int16", "int32", "int64", "float", "double", "string", "binary", "date32[day]", "time64[us]", "timestamp[us]",
             "timestamp[us, tz=UTC]", "month_day_nano_interval", "int32"]
    equal(types, [str(field.type) for field in table.schema], "types")
    row = table.to_pylist()[0]
    wanted = [True, 1, 2, 3, 1.5, 2.5, "é", b"\x00\xff", dt.date(2020, 1, 2), dt.time(3, 4, 5, 6), dt.datetime(2020, 1, 2, 3, 4, 5, 6)]
    equal(wanted, [row[name] for name in "abcdefghijk"], "values")
    equal((1, 2, 3_000_000_000), tuple(row["m"]), "interval")
    equal(None, row["n"], "NULL")
    with connection.cursor() as cursor:
        cursor.execute("SELECT 12345678.90::numeric(10,2) AS n, ARRAY[1, NULL, 3] AS a")
        row = cursor.fetch_arrow_table().to_pylist()[0]
        equal(("12345678.90", [1, None, 3]), (str(row["n"]), row["a"]), "numeric, which ADBC makes a string, and an array")
        cursor.execute("SELECT 1 AS x WHERE false")
        table = cursor.fetch_arrow_table()
        equal((0, ["x"]), (table.num_rows, table.column_names), "no rows")
        cursor.execute(f"SELECT x::int AS x, 'r' || x AS w FROM generate_series(1, {ROWS}) g(x)")
        table = cursor.fetch_arrow_table()
        equal(ROWS, table.num_rows, "rows")
        equal(ROWS * (ROWS + 1) // 2, pyarrow.compute.sum(table["x"]).as_py(), "their sum")


@step
def without_copy(connection):
    with connection.cursor(adbc_stmt_kwargs={"adbc.postgresql.use_copy": "false"}) as cursor:
        cursor.execute("SELECT 7 AS a, 'x' AS b, 1.5::numeric(4,1) AS c")
        row = cursor.fetch_arrow_table().to_pylist()[0]
        equal((7, "x", "1.5"), (row["a"], row["b"], str(row["c"])), "row")


@step
def parameters(connection):
    with connection.cursor() as cursor:
        equal(8, value(cursor, "SELECT $1 + 1", 7), "integer")
        equal("ab", value(cursor, "SELECT $1 || 'b'", "a"), "text")
        equal(dt.date(2020, 1, 2), value(cursor, "SELECT $1::date", dt.date(2020, 1, 2)), "date")
        cursor.execute("DROP TABLE IF EXISTS a_t")
        cursor.execute("CREATE TABLE a_t (k bigint, w text, f float8, d date, t timestamp, b bytea, ok boolean)")
        rows = [(1, "a", 1.5, dt.date(2020, 1, 2), dt.datetime(2020, 1, 2, 3), b"\x00", True), (2, None, None, None, None, None, None)]
        cursor.executemany("INSERT INTO a_t VALUES ($1, $2, $3, $4, $5, $6, $7)", rows)
        cursor.execute("SELECT * FROM a_t ORDER BY k")
        equal(rows, cursor.fetchall(), "rows of executemany")
        equal("a", value(cursor, "SELECT w FROM a_t WHERE k = $1", 1), "a row that a parameter finds")
        cursor.execute("DROP TABLE a_t")
    connection.commit()


@step
def ingest(connection):
    data = pyarrow.table({
        "i": pyarrow.array(range(ROWS), pyarrow.int32()),
        "l": pyarrow.array([None if n % 7 == 0 else n << 33 for n in range(ROWS)], pyarrow.int64()),
        "s": pyarrow.array([f"é{n}" for n in range(ROWS)]),
        "f": pyarrow.array([n / 4 for n in range(ROWS)]),
        "o": pyarrow.array([n % 2 == 0 for n in range(ROWS)]),
        "d": pyarrow.array([dt.date(2020, 1, 1) + dt.timedelta(n % 1000) for n in range(ROWS)]),
        "t": pyarrow.array([dt.datetime(2020, 1, 1) + dt.timedelta(seconds=n) for n in range(ROWS)], pyarrow.timestamp("us")),
        "z": pyarrow.array([dt.datetime(2020, 1, 1) + dt.timedelta(seconds=n) for n in range(ROWS)], pyarrow.timestamp("us", "UTC")),
        "b": pyarrow.array([n.to_bytes(3, "big") for n in range(ROWS)]),
    })
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS a_i")
        equal(ROWS, cursor.adbc_ingest("a_i", data, mode="create"), "rows into a new table")
        cursor.execute("SELECT * FROM a_i ORDER BY i")
        equal(data, cursor.fetch_arrow_table().cast(data.schema), "rows that come back")
        cursor.adbc_ingest("a_i", data.slice(0, 10), mode="append")
        equal(ROWS + 10, value(cursor, "SELECT count(*) FROM a_i"), "rows after an append")
        cursor.adbc_ingest("a_i", data.slice(0, 5), mode="replace")
        equal(5, value(cursor, "SELECT count(*) FROM a_i"), "rows after a replacement")
        cursor.adbc_ingest("a_i", data.slice(0, 5), mode="create_append")
        equal(10, value(cursor, "SELECT count(*) FROM a_i"), "rows after a second append")
        cursor.adbc_ingest("a_i", data.slice(0, 3).to_reader(), mode="append", db_schema_name="public")
        equal(13, value(cursor, "SELECT count(*) FROM a_i"), "rows of a reader, with a schema")
        decimals = pyarrow.table({"n": pyarrow.array([Decimal("1.50"), None, Decimal("-12345678901.25")], pyarrow.decimal128(20, 2))})
        cursor.execute("DROP TABLE IF EXISTS a_n")
        cursor.execute("CREATE TABLE a_n (n numeric(20,2))")
        cursor.adbc_ingest("a_n", decimals, mode="append")
        equal("-12345678899.75", str(value(cursor, "SELECT sum(n)::text FROM a_n")), "numerics")
        cursor.execute("DROP TABLE a_i")
        cursor.execute("DROP TABLE a_n")
    connection.commit()


@step
def metadata(connection):
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS a_m")
        cursor.execute("CREATE TABLE a_m (k int PRIMARY KEY, w text NOT NULL, n numeric(6,2))")
    connection.commit()
    schema = connection.adbc_get_table_schema("a_m")
    equal(["k", "w", "n"], schema.names, "columns")
    equal("int32", str(schema.field("k").type), "type")
    schema = connection.adbc_get_table_schema("a_m", db_schema_filter="public")
    equal(["k", "w", "n"], schema.names, "columns of a table in a schema")
    if "table" not in connection.adbc_get_table_types():
        raise AssertionError(f"types of tables: {connection.adbc_get_table_types()}")
    equal("public", connection.adbc_current_db_schema, "schema")
    with connection.cursor() as cursor:
        schema = cursor.adbc_execute_schema("SELECT k, w FROM a_m")
        equal(["k", "w"], schema.names, "columns of a statement that is not run")
        cursor.execute("DROP TABLE a_m")
    connection.commit()


@step
def objects(connection):
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE a_o (k int PRIMARY KEY, w text NOT NULL, n numeric(6,2))")
    connection.commit()
    try:
        objects = connection.adbc_get_objects(depth="all", db_schema_filter="public", table_name_filter="a_o").read_all().to_pylist()
        current = [catalog for catalog in objects if catalog["catalog_name"] == connection.adbc_current_catalog]
        tables = current[0]["catalog_db_schemas"][0]["db_schema_tables"]
        equal(["a_o"], [table["table_name"] for table in tables], "tables")
        columns = sorted(tables[0]["table_columns"], key=lambda column: column["ordinal_position"])
        equal(["k", "w", "n"], [column["column_name"] for column in columns], "columns of adbc_get_objects")
        keys = [(key["constraint_type"], key["constraint_column_names"]) for key in tables[0]["table_constraints"]]
        if ("PRIMARY KEY", ["k"]) not in keys:
            raise AssertionError(f"constraints {keys}")
    finally:
        connection.rollback()
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE a_o")
        connection.commit()


@step
def transactions(connection):
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS a_x")
        cursor.execute("CREATE TABLE a_x (k int)")
        connection.commit()
        cursor.execute("INSERT INTO a_x VALUES (1)")
        connection.rollback()
        equal(0, value(cursor, "SELECT count(*) FROM a_x"), "rows after ROLLBACK")
        error = raises(adbc_driver_manager.Error, value, cursor, "SELECT no FROM a_x")
        equal("42703", error.sqlstate, "sqlstate")
        connection.rollback()
        cursor.execute("INSERT INTO a_x VALUES (1), (2)")
        connection.commit()
        equal(2, value(cursor, "SELECT count(*) FROM a_x"), "rows after COMMIT")
        cursor.execute("DROP TABLE a_x")
    connection.commit()


if __name__ == "__main__":
    with postgres.connect(sys.argv[1]) as connection:
        main(connection)
