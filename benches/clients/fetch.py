"""Python's part of the benchmark of clients: makes the rows, and fetches all of them. One JSON object on stdout: what was done.

Usage: fetch.py make --rows N --database FILE --parquet FILE
       fetch.py duckdb --sql SQL --database FILE --threads N
       fetch.py adbc --sql SQL --port PORT [--parallel]
       fetch.py psycopg --sql SQL --port PORT --fetch-rows N

A fetch reads a result from its first row to its last one, a batch at a time, and tells how many rows there were, what their first
columns add up to, and how long that took from the query's start, without the connection's.
"""

import argparse
import json
import time

# The same types as the table of Damson's; see cluster.rs.
ROWS = """
    SELECT range AS k,
           (range * 7919 % 1000003)::INTEGER AS i,
           (range % 9973)::DOUBLE / 8 AS d,
           ((range * 31 % 100000000)::DOUBLE / 100)::DECIMAL(12,2) AS amount,
           DATE '2020-01-01' + (range % 2000)::INTEGER AS due,
           TIMESTAMP '2020-01-01 00:00:00' + to_microseconds(range * 1234567) AS made,
           range % 2 = 0 AS flag,
           'city ' || (range % 97) AS city,
           'note ' || range AS note,
           CASE WHEN range % 3 > 0 THEN (range % 1000)::INTEGER END AS maybe
    FROM range({rows})
"""


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def peak_bytes():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM:"))


def connect_duckdb(database, threads=None, read_only=False):
    import duckdb

    connection = duckdb.connect(database, read_only=read_only)
    # Its progress bar would be read as an answer.
    connection.execute("SET enable_progress_bar = false")
    if threads:
        connection.execute(f"SET threads = {threads}")
    return connection, duckdb.__version__


def make(arguments):
    """The rows in a table of DuckDB's, and the same in a Parquet file for Damson."""
    connection, version = connect_duckdb(arguments.database)
    connection.execute(f"CREATE TABLE fetched AS {ROWS.format(rows=arguments.rows)}")
    connection.execute(f"COPY (SELECT * FROM fetched) TO {quoted(arguments.parquet)} (FORMAT parquet, COMPRESSION snappy)")
    connection.execute("CHECKPOINT")
    return {"rows": connection.execute("SELECT count(*) FROM fetched").fetchone()[0], "version": version}


class Total:
    """What batches of Arrow have in them."""

    def __init__(self):
        # Here, because it takes a while, which is not the fetch's.
        import pyarrow.compute

        self.sum = pyarrow.compute.sum
        self.rows = self.keys = self.bytes = 0

    def drain(self, reader):
        for batch in reader:
            if batch.num_columns != 10:
                raise AssertionError(f"{batch.num_columns} columns")
            self.rows += batch.num_rows
            # Of no rows it is None.
            self.keys += self.sum(batch.column(0)).as_py() or 0
            self.bytes += batch.nbytes


def fetched(seconds, version, total):
    return {
        "version": version,
        "seconds": seconds,
        "rows": total.rows,
        "keys": total.keys,
        "arrow_bytes": total.bytes,
        "streams": 1,
        "peak_bytes": peak_bytes(),
    }


def duckdb(arguments):
    connection, version = connect_duckdb(arguments.database, arguments.threads, read_only=True)
    # Its blocks are in its memory then, as Damson's columns are in their cache.
    Total().drain(connection.sql(arguments.sql).to_arrow_reader())
    total = Total()
    started = time.perf_counter()
    total.drain(connection.sql(arguments.sql).to_arrow_reader())
    return fetched(time.perf_counter() - started, version, total)


def adbc(arguments):
    import adbc_driver_flightsql
    import adbc_driver_flightsql.dbapi as flight

    uri = f"grpc://127.0.0.1:{arguments.port}"
    with flight.connect(uri, db_kwargs={"username": "bench", "password": "none"}, autocommit=True) as connection:
        with connection.cursor() as cursor:
            if arguments.parallel:
                # The driver reads all endpoints at once, and gives their batches one endpoint after the other. Partitions would not do: to open
                # a second one of a connection ends the first.
                cursor.execute("SET parallel_retrieve = on")
            # Nothing runs yet.
            streams = len(cursor.adbc_execute_partitions(arguments.sql)[0])
            total = Total()
            started = time.perf_counter()
            cursor.execute(arguments.sql)
            total.drain(cursor.fetch_record_batch())
            seconds = time.perf_counter() - started
    return fetched(seconds, adbc_driver_flightsql.__version__, total) | {"streams": streams}


def psycopg(arguments):
    import psycopg
    from operator import itemgetter

    if psycopg.pq.__impl__ != "binary":
        raise AssertionError(f"psycopg's {psycopg.pq.__impl__} implementation is not the one to be measured")
    rows = keys = 0
    first = itemgetter(0)
    address = f"host=127.0.0.1 port={arguments.port} user=bench dbname=damson"
    with psycopg.connect(address) as connection, connection.cursor(name="fetching", binary=True) as cursor:
        started = time.perf_counter()
        cursor.execute(arguments.sql)
        while batch := cursor.fetchmany(arguments.fetch_rows):
            if len(batch[0]) != 10:
                raise AssertionError(f"{len(batch[0])} columns")
            rows += len(batch)
            keys += sum(map(first, batch))
        seconds = time.perf_counter() - started
    return {
        "version": psycopg.__version__,
        "seconds": seconds,
        "rows": rows,
        "keys": keys,
        "streams": 1,
        "peak_bytes": peak_bytes(),
    }


COMMANDS = {"make": make, "duckdb": duckdb, "adbc": adbc, "psycopg": psycopg}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=list(COMMANDS))
    parser.add_argument("--rows", type=int)
    parser.add_argument("--database")
    parser.add_argument("--parquet")
    parser.add_argument("--sql")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--port", type=int)
    parser.add_argument("--parallel", action="store_true")
    parser.add_argument("--fetch-rows", type=int)
    arguments = parser.parse_args()
    print(json.dumps(COMMANDS[arguments.command](arguments)))


main()
