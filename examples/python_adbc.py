"""Queries a Damson cluster from Python over Flight SQL.

    python3 -m venv /tmp/venv
    /tmp/venv/bin/pip install adbc-driver-flightsql pyarrow
    /tmp/venv/bin/python examples/python_adbc.py [grpc://127.0.0.1:50051]

The demo (`make demo`) serves TPC-H's tables, which this reads.
"""

import sys

import adbc_driver_flightsql.dbapi as flightsql
import pyarrow

uri = sys.argv[1] if len(sys.argv) > 1 else "grpc://127.0.0.1:50051"

# Every statement is a transaction of its own.
with flightsql.connect(uri, autocommit=True) as connection, connection.cursor() as cursor:
    # Rows, as the Python database interface has them.
    cursor.execute("SELECT n_name, n_regionkey FROM nation ORDER BY n_name LIMIT 3")
    for name, region in cursor.fetchall():
        print(f"{name} is in region {region}")

    # An Arrow table: columns stay columns, all the way from the segments.
    cursor.execute("SELECT o_orderpriority, count(*) AS orders FROM orders GROUP BY 1 ORDER BY 1")
    table = cursor.fetch_arrow_table()
    print(table.schema)
    print(table.to_pydict())

    # A prepared statement with a parameter, executed twice.
    for customer in (7, 370):
        cursor.execute("SELECT count(*), sum(o_totalprice) FROM orders WHERE o_custkey = $1", (customer,))
        print(customer, cursor.fetchone())

    # Rows in bulk. executemany gives their number; after execute, the driver's rowcount is always -1.
    cursor.execute("CREATE TABLE adbc_example (id bigint, name text) DISTRIBUTED BY (id)")
    rows = pyarrow.record_batch({"1": pyarrow.array([1, 2], pyarrow.int64()), "2": ["one", "two"]})
    cursor.executemany("INSERT INTO adbc_example VALUES ($1, $2)", rows)
    print("inserted", cursor.rowcount)
    cursor.execute("SELECT count(*) FROM adbc_example")
    print("there are", cursor.fetchone()[0])
    cursor.execute("DROP TABLE adbc_example")
