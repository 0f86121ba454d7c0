"""DuckDB as an engine of the benchmark: JSON lines on stdin and stdout, as src/engine/child.rs says."""

import argparse
import json
import os
import sys
import time

import duckdb

TABLES = ["region", "nation", "supplier", "customer", "part", "partsupp", "orders", "lineitem"]


def say(**reply):
    print(json.dumps(reply), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--parquet", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--memory-bytes", type=int)
    parser.add_argument("--file", help="load the tables into this file; without it the Parquet files are queried")
    parser.add_argument("--reuse", action="store_true")
    arguments = parser.parse_args()

    reused = arguments.reuse and arguments.file and os.path.exists(arguments.file)
    if arguments.file and not reused and os.path.exists(arguments.file):
        os.remove(arguments.file)
    connection = duckdb.connect(arguments.file or ":memory:")
    # Its progress bar would be read as an answer.
    connection.execute("SET enable_progress_bar = false")
    connection.execute(f"SET threads = {arguments.threads}")
    if arguments.memory_bytes:
        connection.execute(f"SET memory_limit = '{arguments.memory_bytes}B'")

    started = time.perf_counter()
    kind = "TABLE" if arguments.file else "VIEW"
    if not reused:
        for table in TABLES:
            files = os.path.join(arguments.parquet, table, "*.parquet").replace("'", "''")
            connection.execute(f"CREATE {kind} {table} AS SELECT * FROM read_parquet('{files}')")
        connection.execute("CHECKPOINT")
    loaded = time.perf_counter() - started if arguments.file and not reused else None
    say(ready={"version": duckdb.__version__, "load_seconds": loaded})

    for line in sys.stdin:
        request = json.loads(line)
        try:
            started = time.perf_counter()
            rows = connection.execute(request["sql"]).fetchall()
            seconds = time.perf_counter() - started
        except duckdb.Error as error:
            say(failed={"message": str(error)})
        else:
            say(ran={"seconds": seconds, "rows": len(rows), "correct": None, "difference": None})


if __name__ == "__main__":
    try:
        main()
    except (duckdb.Error, OSError) as error:
        say(failed={"message": str(error)})
