"""What a user of psycopg 3 does. Argument: a URL, whose user is p_user. Makes and drops tables p_…; runs on PostgreSQL as well."""

import datetime as dt
import sys
import threading
import time
import uuid
from decimal import Decimal

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row, namedtuple_row
from psycopg.types.json import Json

from steps import equal, main, raises, step

UTC = dt.timezone.utc
# A type, a value of it in SQL, and in Python.
VALUES = [
    ("boolean", "true", True),
    ("smallint", "-32768", -32768),
    ("integer", "2147483647", 2147483647),
    ("bigint", "-9223372036854775808", -9223372036854775808),
    ("real", "1.5", 1.5),
    ("double precision", "1e300", 1e300),
    ("double precision", "'NaN'", None),
    ("numeric(10,2)", "12345678.90", Decimal("12345678.90")),
    ("numeric(38,0)", "12345678901234567890123456789012345678", Decimal("12345678901234567890123456789012345678")),
    ("numeric(12,12)", "0.000000000001", Decimal("0.000000000001")),
    ("numeric(10,2)", "0", Decimal("0.00")),
    ("text", "'é ''x'' \\ \t'", "é 'x' \\ \t"),
    ("text", "''", ""),
    ("varchar(5)", "'abc'", "abc"),
    ("bytea", "'\\x00ff10'", b"\x00\xff\x10"),
    ("bytea", "''", b""),
    ("date", "'2024-02-29'", dt.date(2024, 2, 29)),
    ("date", "'0001-01-01'", dt.date(1, 1, 1)),
    ("time", "'23:59:59.999999'", dt.time(23, 59, 59, 999999)),
    ("timestamp", "'1999-12-31 23:59:59.5'", dt.datetime(1999, 12, 31, 23, 59, 59, 500000)),
    ("timestamptz", "'2026-01-02 03:04:05.000006+02'", dt.datetime(2026, 1, 2, 1, 4, 5, 6, UTC)),
    ("interval", "'-1 day 00:00:01.5'", dt.timedelta(days=-1, seconds=1.5)),
]


def table(connection, columns):
    """A new table p_t."""
    connection.execute("DROP TABLE IF EXISTS p_t")
    connection.execute(f"CREATE TABLE p_t ({columns})")


@step
def connect(connection):
    info = connection.info
    equal("p_user", info.user, "user")
    equal("UTF8", info.parameter_status("client_encoding"), "client_encoding")
    equal("utf-8", info.encoding, "encoding")
    equal("on", info.parameter_status("standard_conforming_strings"), "standard_conforming_strings")
    equal("on", info.parameter_status("integer_datetimes"), "integer_datetimes")
    equal("ISO, MDY", info.parameter_status("DateStyle"), "DateStyle")
    equal("p_psycopg", info.parameter_status("application_name"), "application_name")
    equal("UTC", info.parameter_status("TimeZone"), "TimeZone")
    equal(UTC.utcoffset(None), info.timezone.utcoffset(None), "timezone")
    if info.server_version < 90400 or info.backend_pid == 0:
        raise AssertionError(f"version {info.server_version}, process {info.backend_pid}")
    equal(TransactionStatus.IDLE, info.transaction_status, "status")
    connection.execute("SET application_name = 'p_other'")
    equal("p_other", info.parameter_status("application_name"), "application_name that was set")
    connection.execute("SET application_name = 'p_psycopg'")


@step
def results(connection):
    for kind, literal, wanted in VALUES:
        for binary in (False, True):
            with connection.cursor(binary=binary) as cursor:
                found = cursor.execute(f"SELECT CAST({literal} AS {kind}), CAST(NULL AS {kind})").fetchone()
                if wanted is None:
                    equal(False, found[0] == found[0], f"{kind} {literal}, binary {binary}")
                else:
                    equal((wanted, None), found, f"{kind} {literal}, binary {binary}")
    for binary in (False, True):
        with connection.cursor(binary=binary) as cursor:
            cursor.execute("SELECT 1 AS a, 2::numeric(5,1) AS b, 'x' AS \"C d\"")
            equal(["a", "b", "C d"], [column.name for column in cursor.description], "columns")
            equal((5, 1), (cursor.description[1].precision, cursor.description[1].scale), "numeric's digits")
            equal([23, 1700, 25], [column.type_code for column in cursor.description], "OIDs")
            equal("SELECT 1", cursor.statusmessage, "tag")
            equal(1, cursor.rowcount, "rowcount")
            equal((float("inf"), float("-inf")), cursor.execute("SELECT 'inf'::float8, '-inf'::float4").fetchone(), "inf")


@step
def json(connection):
    """Documents are Python's objects, as their type says."""
    table(connection, "k int, j json")
    connection.execute("INSERT INTO p_t VALUES (1, %s), (2, NULL)", (Json({"a": [1, None]}),))
    found = connection.execute("SELECT j FROM p_t ORDER BY k").fetchall()
    connection.execute("DROP TABLE p_t")
    equal([({"a": [1, None]},), (None,)], found, "documents")


@step
def arrays(connection):
    for binary in (False, True):
        with connection.cursor(binary=binary) as cursor:
            cursor.execute("SELECT ARRAY[1, 2, NULL], ARRAY['a', 'b,\"c'], ARRAY[1.5, 2.5]::float8[]")
            equal(([1, 2, None], ["a", 'b,"c'], [1.5, 2.5]), cursor.fetchone(), f"arrays, binary {binary}")
        for typed in ("%t", "%b"):
            found = connection.execute(f"SELECT count(*) FROM generate_series(1, 9) g(x) WHERE x = ANY({typed})", ([2, 4, 40],))
            equal(2, found.fetchone()[0], f"ANY of an array, {typed}")


@step
def parameters(connection):
    """Each value goes into a column of its type and is found by it, in text and in binary."""
    # The tables have one name, and prepared statements the columns of the first.
    connection.prepare_threshold = None
    for kind, _, value in VALUES:
        if value is None:
            continue
        table(connection, f"k int, v {kind}")
        for k, place in enumerate(("%s", "%t", "%b")):
            connection.execute(f"INSERT INTO p_t VALUES ({k}, {place})", (value,))
        connection.execute("INSERT INTO p_t (k, v) VALUES (%s, %s)", (9, None))
        found = connection.execute("SELECT v FROM p_t ORDER BY k").fetchall()
        equal([(value,)] * 3 + [(None,)], found, f"{kind} that was sent")
        if kind != "real":
            for place in ("%s", "%t", "%b"):
                found = connection.execute(f"SELECT count(*) FROM p_t WHERE v = {place}", (value,)).fetchone()
                equal((3,), found, f"{kind} that is {place}")
    connection.execute("DROP TABLE p_t")


@step
def parameters_alone(connection):
    """What has no column has the client's type."""
    for value in (True, 7, 1 << 40, 1.5, Decimal("1.25"), "x", b"\x00", dt.date(2020, 1, 2), dt.datetime(2020, 1, 2, 3),
                  dt.datetime(2020, 1, 2, 3, tzinfo=UTC), dt.time(1, 2), dt.timedelta(hours=3), None):
        for place in ("%s", "%t", "%b"):
            for binary in (False, True):
                with connection.cursor(binary=binary) as cursor:
                    found = cursor.execute(f"SELECT {place} AS v", (value,)).fetchone()[0]
                    equal(value, found, f"{value!r}, {place}, binary {binary}")
    key = uuid.uuid4()
    found = connection.execute("SELECT %s::text", (key,)).fetchone()[0]
    equal(str(key), found, "uuid")
    equal(8, connection.execute("SELECT %s + 1", (7,)).fetchone()[0], "sum")
    equal("ab", connection.execute("SELECT %s || 'b'", ("a",)).fetchone()[0], "concatenation")
    equal(Decimal("2.75"), connection.execute("SELECT %s + 1.5", (Decimal("1.25"),)).fetchone()[0], "sum of numerics")
    equal([(3,)], connection.execute("SELECT x FROM generate_series(1, 9) g(x) ORDER BY x LIMIT %s OFFSET %s", (1, 2)).fetchall(), "LIMIT")
    equal(dt.date(2020, 1, 3), connection.execute("SELECT %s::date + 1", ("2020-01-02",)).fetchone()[0], "date of text")
    named = connection.execute("SELECT %(a)s + %(b)s - %(a)s", {"a": 1, "b": 5}).fetchone()
    equal((5,), named, "named")


@step
def rows_of_kinds(connection):
    query = "SELECT 1 AS a, 'x' AS b"
    equal({"a": 1, "b": "x"}, connection.cursor(row_factory=dict_row).execute(query).fetchone(), "dict_row")
    equal("x", connection.cursor(row_factory=namedtuple_row).execute(query).fetchone().b, "namedtuple_row")
    raw = connection.execute(sql.SQL("SELECT {} AS {}").format(sql.Literal("it's"), sql.Identifier('a "b"')))
    equal(("it's",), raw.fetchone(), "a composed statement")
    client_side = psycopg.ClientCursor(connection)
    equal((dt.date(2020, 1, 2), "a'b", 7), client_side.execute("SELECT %s, %s, %s", (dt.date(2020, 1, 2), "a'b", 7)).fetchone(), "values in the text")
    equal((b"\x00\xff", Decimal("1.5"), None, True),
          client_side.execute("SELECT %s, %s, %s, %s", (b"\x00\xff", Decimal("1.5"), None, True)).fetchone(), "more values in the text")


@step
def many(connection):
    table(connection, "k int PRIMARY KEY, w text")
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO p_t VALUES (%s, %s)", [(k, f"w{k}") for k in range(300)])
        equal(300, cursor.rowcount, "rows of executemany")
        cursor.executemany("INSERT INTO p_t VALUES (%s, %s) RETURNING k", [(k, None) for k in range(300, 310)], returning=True)
        found = []
        while True:
            found.append(cursor.fetchone()[0])
            if not cursor.nextset():
                break
        equal(list(range(300, 310)), found, "RETURNING of executemany")
        error = raises(psycopg.errors.UniqueViolation, cursor.executemany, "INSERT INTO p_t VALUES (%s, %s)", [(400, "x"), (5, "y")])
        equal("23505", error.sqlstate, "sqlstate")
    # Its statements are one transaction only in a block: psycopg's executemany is a pipeline, which Sync ends.
    equal((310,), connection.execute("SELECT count(*) FROM p_t").fetchone(), "rows after the error")
    equal(5, connection.execute("UPDATE p_t SET w = upper(w) WHERE k < 5").rowcount, "rows of UPDATE")
    equal("DELETE 10", connection.execute("DELETE FROM p_t WHERE k >= 300").statusmessage, "tag of DELETE")
    connection.execute("DROP TABLE p_t")


@step
def pipeline(connection):
    table(connection, "k int, w text")
    with connection.pipeline() as pipe:
        cursors = [connection.execute("SELECT %s::int * 2", (n,)) for n in range(50)]
        connection.execute("INSERT INTO p_t VALUES (1, 'a')")
        pipe.sync()
        equal([2 * n for n in range(50)], [cursor.fetchone()[0] for cursor in cursors], "answers")
    with raises_and_goes_on(psycopg.errors.DivisionByZero), connection.pipeline():
        connection.execute("INSERT INTO p_t VALUES (2, 'b')")
        connection.execute("SELECT 1 / 0")
        connection.execute("INSERT INTO p_t VALUES (2, 'b')")
    equal([(1,)], connection.execute("SELECT k FROM p_t").fetchall(), "what a failed pipeline leaves")
    with connection.pipeline(), connection.transaction():
        connection.execute("INSERT INTO p_t VALUES (3, 'c')")
        connection.execute("INSERT INTO p_t VALUES (4, 'd')")
    equal([(1,), (3,), (4,)], connection.execute("SELECT k FROM p_t ORDER BY k").fetchall(), "a block in a pipeline")
    connection.execute("DROP TABLE p_t")


@step
def named_cursors(connection):
    query = "SELECT x::int, 'r' || x FROM generate_series(1, 10000) g(x) ORDER BY 1"
    for binary in (False, True):
        with connection.transaction(), connection.cursor(name="c one", binary=binary) as cursor:
            cursor.itersize = 999
            cursor.execute(query)
            equal((1, "r1"), cursor.fetchone(), "the first row")
            equal([(2, "r2"), (3, "r3")], cursor.fetchmany(2), "the next")
            equal([(n, f"r{n}") for n in range(4, 10001)], list(cursor), "the rest")
            equal(None, cursor.fetchone(), "after the last")
    with connection.transaction(), connection.cursor(name="d") as cursor:
        cursor.execute("SELECT x FROM generate_series(1, 10) g(x) WHERE x > %s ORDER BY x", (7,))
        equal([(8,), (9,), (10,)], cursor.fetchall(), "a cursor with a parameter")


@step
def held_cursors(connection):
    with connection.cursor(name="h", withhold=True) as cursor:
        cursor.execute("SELECT x FROM generate_series(1, 10) g(x) ORDER BY x")
        equal([(1,), (2,)], cursor.fetchmany(2), "after the transaction")


@step
def scrollable_cursors(connection):
    with connection.transaction(), connection.cursor(name="s", scrollable=True) as cursor:
        cursor.execute("SELECT x FROM generate_series(1, 10) g(x) ORDER BY x")
        equal([(1,), (2,)], cursor.fetchmany(2), "rows")
        cursor.scroll(0, mode="absolute")
        equal((1,), cursor.fetchone(), "back at the first")


@step
def streams(connection):
    query = "SELECT x::int FROM generate_series(1, 20000) g(x) ORDER BY 1"
    for size in (1, 100):
        rows = connection.cursor().stream(query, size=size) if size > 1 else connection.cursor().stream(query)
        equal(list(range(1, 20001)), [row[0] for row in rows], f"rows, {size} at once")


@step
def copy_in(connection):
    table(connection, "k int, w text, n numeric(6,2), d date")
    rows = [(1, "a\tb\n\\", Decimal("1.50"), dt.date(2020, 1, 2)), (2, None, None, None), (3, "", Decimal("-1.00"), None)]
    with connection.cursor() as cursor:
        with cursor.copy("COPY p_t FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        equal(3, cursor.rowcount, "rows")
        with cursor.copy("COPY p_t (w, k) FROM STDIN (FORMAT csv, HEADER)") as copy:
            copy.write("w,k\n\"x,\"\"y\",4\n")
            copy.write(b",5\n")
        error = raises(psycopg.errors.BadCopyFileFormat, copy_text, cursor, "6\tx\n")
        equal("22P04", error.sqlstate, "sqlstate of missing columns")
        raises(psycopg.errors.InvalidTextRepresentation, copy_text, cursor, "x\ty\t\\N\t\\N\n")

        def stops():
            with cursor.copy("COPY p_t FROM STDIN") as copy:
                copy.write_row((7, None, None, None))
                raise KeyError("the user's own")

        raises(KeyError, stops)
    found = connection.execute("SELECT * FROM p_t ORDER BY k").fetchall()
    equal(rows + [(4, 'x,"y', None, None), (5, None, None, None)], found, "rows that were copied")
    connection.execute("DROP TABLE p_t")


def copy_text(cursor, text):
    with cursor.copy("COPY p_t FROM STDIN") as copy:
        copy.write(text)


@step
def copy_out(connection):
    table(connection, "k int, w text, n numeric(6,2)")
    connection.execute("INSERT INTO p_t VALUES (1, E'a\\tb\\n\\\\', 1.5), (2, NULL, NULL), (3, '', 3)")
    with connection.cursor() as cursor:
        with cursor.copy("COPY (SELECT * FROM p_t ORDER BY k) TO STDOUT") as copy:
            equal("1\ta\\tb\\n\\\\\t1.50\n2\t\\N\t\\N\n3\t\t3.00\n", b"".join(bytes(piece) for piece in copy).decode(), "text")
        with cursor.copy("COPY (SELECT * FROM p_t ORDER BY k) TO STDOUT") as copy:
            copy.set_types(["int4", "text", "numeric"])
            wanted = [(1, "a\tb\n\\", Decimal("1.50")), (2, None, None), (3, "", Decimal("3.00"))]
            equal(wanted, list(copy.rows()), "rows")
        with cursor.copy("COPY (SELECT k, w FROM p_t WHERE k > 1 ORDER BY k) TO STDOUT WITH (FORMAT csv, HEADER true)") as copy:
            equal('k,w\n2,\n3,""\n', b"".join(bytes(piece) for piece in copy).decode(), "CSV")
        with cursor.copy("COPY (SELECT k FROM p_t WHERE k > %s) TO STDOUT", (2,)) as copy:
            equal([("3",)], list(copy.rows()), "a parameter of COPY")
    connection.execute("DROP TABLE p_t")


@step
def copy_binary(connection):
    table(connection, "k int, w text, n numeric(6,2), f float8, d date, t timestamp, b bytea, ok boolean")
    rows = [
        (1, "é", Decimal("-1.50"), 1.5, dt.date(2020, 1, 2), dt.datetime(2020, 1, 2, 3, 4, 5, 6), b"\x00\xff", True),
        (2, None, None, None, None, None, None, None),
    ]
    types = ["int4", "text", "numeric", "float8", "date", "timestamp", "bytea", "bool"]
    with connection.cursor() as cursor:
        with cursor.copy("COPY p_t FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row(row)
        equal(2, cursor.rowcount, "rows")
        equal(rows, cursor.execute("SELECT * FROM p_t ORDER BY k").fetchall(), "rows that were copied")
        with cursor.copy("COPY (SELECT * FROM p_t ORDER BY k) TO STDOUT (FORMAT BINARY)") as copy:
            copy.set_types(types)
            equal(rows, list(copy.rows()), "rows that come back")
        # A table to a table, through the client, which reads nothing of it.
        with cursor.copy("COPY p_t TO STDOUT WITH BINARY") as out:
            pieces = [bytes(piece) for piece in out]
        with cursor.copy("COPY p_t FROM STDIN WITH (FORMAT binary)") as copy:
            for piece in pieces:
                copy.write(piece)
        equal((4,), cursor.execute("SELECT count(*) FROM p_t").fetchone(), "rows after a round")
        bad = [(b"PGCOPY\n", "22P04"), (b"".join(pieces)[:-4], "22P04"), (b"x" * 40, "22P04")]
        for bytes_, sqlstate in bad:
            def copies():
                with cursor.copy("COPY p_t FROM STDIN (FORMAT binary)") as copy:
                    copy.write(bytes_)
            equal(sqlstate, raises(psycopg.Error, copies).sqlstate, repr(bytes_[:8]))
        equal((4,), cursor.execute("SELECT count(*) FROM p_t").fetchone(), "rows after errors")
    connection.execute("DROP TABLE p_t")


@step
def transactions(connection):
    info = connection.info
    table(connection, "k int")
    with connection.transaction():
        connection.execute("INSERT INTO p_t VALUES (1)")
        equal(TransactionStatus.INTRANS, info.transaction_status, "in a block")
        with raises_and_goes_on(ValueError), connection.transaction("s1"):
            connection.execute("INSERT INTO p_t VALUES (2)")
            raise ValueError
        with connection.transaction():
            connection.execute("INSERT INTO p_t VALUES (3)")
        with raises_and_goes_on(psycopg.errors.DivisionByZero), connection.transaction():
            connection.execute("SELECT 1 / 0")
        equal(TransactionStatus.INTRANS, info.transaction_status, "after an error in a savepoint")
    equal([(1,), (3,)], connection.execute("SELECT k FROM p_t ORDER BY k").fetchall(), "what was committed")
    with raises_and_goes_on(psycopg.Rollback), connection.transaction():
        connection.execute("DELETE FROM p_t")
        raise psycopg.Rollback
    equal((2,), connection.execute("SELECT count(*) FROM p_t").fetchone(), "what was rolled back")
    connection.autocommit = False
    try:
        raises(psycopg.errors.UndefinedColumn, connection.execute, "SELECT no FROM p_t")
        equal(TransactionStatus.INERROR, info.transaction_status, "after an error")
        raises(psycopg.errors.InFailedSqlTransaction, connection.execute, "SELECT 1")
        connection.rollback()
        equal(TransactionStatus.IDLE, info.transaction_status, "after ROLLBACK")
        connection.execute("INSERT INTO p_t VALUES (4)")
        connection.commit()
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        raises(psycopg.errors.ReadOnlySqlTransaction, connection.execute, "INSERT INTO p_t VALUES (5)")
        connection.rollback()
        equal(("repeatable read",), connection.execute("SHOW transaction_isolation").fetchone(), "level")
        connection.rollback()
        connection.isolation_level = connection.read_only = None
    finally:
        connection.rollback()
        connection.autocommit = True
    connection.execute("DROP TABLE p_t")


class raises_and_goes_on:
    """Takes an error of a block, if it is there."""

    def __init__(self, error):
        self.error = error

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        # psycopg's transactions keep Rollback for themselves.
        return kind is not None and issubclass(kind, self.error)


@step
def errors(connection):
    def failing(statement, *arguments):
        return raises(psycopg.Error, connection.execute, statement, *arguments)

    for statement, sqlstate, position in [
        ("SELEC 1", "42601", "1"),
        ("SELECT no", "42703", "8"),
        ("SELECT 1 FROM no", "42P01", "15"),
        ("SELECT nofunction(1)", "42883", "8"),
        ("SELECT 1 / 0", "22012", None),
        ("SELECT 'x'::int", "22P02", None),
        ("SELECT 2147483647 + 1", "22003", None),
    ]:
        for arguments in ((), ((),)):
            error = failing(statement, *arguments)
            equal(sqlstate, error.sqlstate, statement)
            equal("ERROR", error.diag.severity_nonlocalized, statement)
            if position:
                equal(position, error.diag.statement_position, statement)
    equal(psycopg.errors.UndefinedTable, type(failing("SELECT 1 FROM no")), "class")
    equal("22P02", failing("SELECT %s::int", ("x",)).sqlstate, "a parameter")
    table(connection, "k int")
    equal("42P07", failing("CREATE TABLE p_t (k int)").sqlstate, "duplicate table")
    connection.execute("DROP TABLE p_t")


@step
def error_fields(connection):
    """Names of what an error is about, in fields of their own."""
    def failing(statement):
        return raises(psycopg.Error, connection.execute, statement)

    table(connection, "k int PRIMARY KEY, w text NOT NULL, CONSTRAINT short CHECK (length(w) < 5)")
    connection.execute("INSERT INTO p_t VALUES (1, 'a')")
    diag = failing("INSERT INTO p_t VALUES (1, 'b')").diag
    equal(("23505", "p_t_pkey"), (diag.sqlstate, diag.constraint_name), "unique")
    equal("p_t", diag.table_name, "unique: table")
    diag = failing("INSERT INTO p_t VALUES (2, NULL)").diag
    equal(("23502", "w", "p_t"), (diag.sqlstate, diag.column_name, diag.table_name), "not null")
    diag = failing("INSERT INTO p_t VALUES (2, 'too long')").diag
    equal(("23514", "short", "p_t"), (diag.sqlstate, diag.constraint_name, diag.table_name), "check")
    connection.execute("DROP TABLE p_t")


@step
def notices(connection):
    heard = []
    connection.add_notice_handler(lambda diag: heard.append((diag.severity_nonlocalized, diag.sqlstate, diag.message_primary)))
    connection.execute("DROP TABLE IF EXISTS p_nothing")
    equal(("NOTICE", "00000", 'table "p_nothing" does not exist, skipping'), heard[-1], "notice")
    connection.execute("ROLLBACK")
    equal(("WARNING", "25P01", "there is no transaction in progress"), heard[-1], "warning")


LONG = "SELECT count(*) FROM generate_series(1, 1000000) a(x), generate_series(1, 1000000) b(y) WHERE x * 7 % 11 = y % 13"


@step
def cancel(connection):
    for cancels in (connection.cancel, connection.cancel_safe):
        timer = threading.Timer(0.5, cancels)
        began = time.monotonic()
        timer.start()
        raises(psycopg.errors.QueryCanceled, connection.execute, LONG)
        timer.join()
        if time.monotonic() - began > 10:
            raise AssertionError("a cancel took more than ten seconds")
        equal((1,), connection.execute("SELECT 1").fetchone(), "after a cancel")


@step
def statement_timeout(connection):
    connection.execute("SET statement_timeout = '300ms'")
    raises(psycopg.errors.QueryCanceled, connection.execute, LONG)
    connection.execute("RESET statement_timeout")


@step
def prepared(connection):
    table(connection, "k int, w text")
    connection.prepare_threshold = 2
    for k in range(20):
        connection.execute("INSERT INTO p_t VALUES (%s, %s)", (k, f"w{k}"))
    equal((20,), connection.execute("SELECT count(*) FROM p_t").fetchone(), "rows")
    equal(("w7",), connection.execute("SELECT w FROM p_t WHERE k = %s", (7,), prepare=True).fetchone(), "prepared at once")
    connection.execute("DROP TABLE p_t")
    connection.execute("CREATE TABLE p_t (k int, w int)")
    connection.execute("INSERT INTO p_t VALUES (7, 8)")
    equal((8,), connection.execute("SELECT w FROM p_t WHERE k = %s", (7,)).fetchone(), "a table that has changed")
    connection.prepared_max = 3
    for n in range(10):
        equal((n,), connection.execute(f"SELECT {n} WHERE 1 = %s", (1,), prepare=True).fetchone(), "many statements")
    connection.execute("DEALLOCATE ALL")
    connection.execute("DROP TABLE p_t")


@step
def scripts(connection):
    cursor = connection.execute("SELECT 1; SELECT 'x', 2; DROP TABLE IF EXISTS p_nothing")
    equal([(1,)], cursor.fetchall(), "the first")
    cursor.nextset()
    equal([("x", 2)], cursor.fetchall(), "the second")
    cursor.nextset()
    equal("DROP TABLE", cursor.statusmessage, "the third")
    equal(None, cursor.nextset(), "the end")
    equal("", connection.execute("").statusmessage or "", "nothing")


@step
def types_of_the_server(connection):
    """psycopg looks types up by name, which it does for hstore, enums and composites."""
    info = psycopg.types.TypeInfo.fetch(connection, "int4")
    equal((23, 1007), (info.oid, info.array_oid), "int4")
    equal(None, psycopg.types.TypeInfo.fetch(connection, "no_such_type"), "a type that is not there")


@step
def closes(connection):
    with psycopg.connect(sys.argv[1], autocommit=True) as other:
        pid = other.info.backend_pid
        equal((pid,), other.execute("SELECT pg_backend_pid()").fetchone(), "pg_backend_pid")
    equal(True, other.closed, "closed")


if __name__ == "__main__":
    with psycopg.connect(sys.argv[1], application_name="p_psycopg", autocommit=True) as connection:
        main(connection)
