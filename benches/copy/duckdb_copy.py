"""DuckDB's part of the benchmark of COPY FROM: makes the files, and loads them. One JSON object on stdout: what was done.

Usage: duckdb_copy.py keep --source GLOB --database FILE
       duckdb_copy.py make --database FILE --form FORM --files N --directory DIR
       duckdb_copy.py load --form FORM --place PLACE --database FILE --threads N
"""

import argparse
import json
import os
import time

import duckdb

COLUMNS = {
    "l_orderkey": "BIGINT",
    "l_partkey": "INTEGER",
    "l_suppkey": "INTEGER",
    "l_linenumber": "INTEGER",
    "l_quantity": "DECIMAL(15,2)",
    "l_extendedprice": "DECIMAL(15,2)",
    "l_discount": "DECIMAL(15,2)",
    "l_tax": "DECIMAL(15,2)",
    "l_returnflag": "VARCHAR",
    "l_linestatus": "VARCHAR",
    "l_shipdate": "DATE",
    "l_commitdate": "DATE",
    "l_receiptdate": "DATE",
    "l_shipinstruct": "VARCHAR",
    "l_shipmode": "VARCHAR",
    "l_comment": "VARCHAR",
}

OPTIONS = {
    "csv": "(FORMAT csv, HEADER false)",
    "csv.gz": "(FORMAT csv, HEADER false, COMPRESSION gzip)",
    "parquet": "(FORMAT parquet, COMPRESSION snappy)",
}


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def connect(database, threads=None):
    connection = duckdb.connect(database)
    # Its progress bar would be read as an answer.
    connection.execute("SET enable_progress_bar = false")
    if threads:
        connection.execute(f"SET threads = {threads}")
    return connection


def keep(arguments):
    """A table of all rows, from which files are made."""
    connection = connect(arguments.database)
    connection.execute(f"CREATE TABLE lineitem AS SELECT * FROM read_parquet({quoted(arguments.source)})")
    return {"rows": connection.execute("SELECT count(*) FROM lineitem").fetchone()[0]}


def make(arguments):
    connection = connect(arguments.database)
    rows = connection.execute("SELECT count(*) FROM lineitem").fetchone()[0]
    for file in range(arguments.files):
        first, end = (rows * n // arguments.files for n in (file, file + 1))
        path = os.path.join(arguments.directory, f"part-{file:03}.{arguments.form}")
        selected = f"SELECT * FROM lineitem WHERE rowid >= {first} AND rowid < {end}"
        connection.execute(f"COPY ({selected}) TO {quoted(path)} {OPTIONS[arguments.form]}")
    return {"rows": rows}


def reach_bucket(connection):
    """The bucket that the environment names, as Damson's segments have it."""
    connection.execute("INSTALL httpfs")
    connection.execute("LOAD httpfs")
    environment = os.environ
    endpoint = environment["AWS_ENDPOINT"].removeprefix("http://")
    connection.execute(
        f"CREATE SECRET (TYPE s3, KEY_ID {quoted(environment['AWS_ACCESS_KEY_ID'])}, "
        f"SECRET {quoted(environment['AWS_SECRET_ACCESS_KEY'])}, REGION {quoted(environment['AWS_REGION'])}, "
        f"ENDPOINT {quoted(endpoint)}, USE_SSL false, URL_STYLE 'path')"
    )


def load(arguments):
    connection = connect(arguments.database, arguments.threads)
    if arguments.place.startswith("s3://"):
        try:
            reach_bucket(connection)
        except duckdb.Error as error:
            return {"unavailable": str(error).splitlines()[0]}
    columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    connection.execute(f"CREATE TABLE lineitem ({columns})")
    pattern = quoted(f"{arguments.place}/*.{arguments.form}")
    if arguments.form == "parquet":
        source = f"read_parquet({pattern})"
    else:
        types = "{" + ", ".join(f"{quoted(name)}: {quoted(kind)}" for name, kind in COLUMNS.items()) + "}"
        source = f"read_csv({pattern}, auto_detect = false, header = false, delim = ',', quote = '\"', columns = {types})"
    started = time.perf_counter()
    connection.execute(f"INSERT INTO lineitem SELECT * FROM {source}")
    # On the disk, as a commit of ours is.
    connection.execute("CHECKPOINT")
    seconds = time.perf_counter() - started
    rows, keys = connection.execute("SELECT count(*), sum(l_orderkey)::VARCHAR FROM lineitem").fetchone()
    with open("/proc/self/status") as status:
        peak = next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM:"))
    return {"version": duckdb.__version__, "seconds": seconds, "rows": rows, "keys": keys, "peak_bytes": peak}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["keep", "make", "load"])
    parser.add_argument("--source")
    parser.add_argument("--database", required=True)
    parser.add_argument("--form", choices=list(OPTIONS))
    parser.add_argument("--files", type=int)
    parser.add_argument("--directory")
    parser.add_argument("--place")
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    print(json.dumps({"keep": keep, "make": make, "load": load}[arguments.command](arguments)))


main()
