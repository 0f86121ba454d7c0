"""Prints the rows of Parquet files as JSON, a line each, every value as the tests print it: see `render_exact` in tests/src/answer.rs.
Or, by `encodings`, what their column chunks are encoded in: physical type and encoding.

Usage: readers.py (pyarrow | duckdb | encodings) FILE...
"""

import datetime
import json
import sys
import uuid
from decimal import Decimal


def number(digits):
    """Without exponent, trailing zeros and the sign of zero."""
    if "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    return "0" if digits == "-0" else digits


def fraction(micros):
    if micros == 0:
        return ""
    return f".{micros // 1000:03}" if micros % 1000 == 0 else f".{micros:06}"


def text(value):
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if value != value:
            return "NaN"
        if value in (float("inf"), float("-inf")):
            return "Infinity" if value > 0 else "-Infinity"
        return number(format(Decimal(repr(value)), "f"))
    if isinstance(value, Decimal):
        return number(format(value, "f"))
    if isinstance(value, datetime.datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S").rjust(19, "0") + fraction(value.microsecond)
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, datetime.time):
        return value.strftime("%H:%M:%S") + fraction(value.microsecond)
    if isinstance(value, uuid.UUID):
        value = value.bytes
    if isinstance(value, (bytes, bytearray)):
        return "\\x" + value.hex()
    if isinstance(value, str):
        return value.replace("\\", "\\\\").replace("\n", "\\n") or "(empty)"
    raise TypeError(f"{type(value)}: {value}")


def rows_of_pyarrow(files):
    import pyarrow as pa
    import pyarrow.parquet as pq

    for file in files:
        columns = []
        # Not as a data set, which would unify the files.
        for column in pq.ParquetFile(file).read().columns:
            if pa.types.is_timestamp(column.type) and column.type.tz:
                # In UTC; Python would need a database of time zones.
                column = column.cast(pa.timestamp(column.type.unit))
            columns.append(column.to_pylist())
        yield from zip(*columns)


def rows_of_duckdb(files):
    import duckdb

    connection = duckdb.connect()
    for file in files:
        quoted = file.replace("'", "''")
        described = connection.execute(f"DESCRIBE SELECT * FROM read_parquet('{quoted}')").fetchall()
        columns = []
        for name, kind, *_ in described:
            name = '"' + name.replace('"', '""') + '"'
            columns.append(f"make_timestamp(epoch_us({name}))" if kind == "TIMESTAMP WITH TIME ZONE" else name)
        yield from connection.execute(f"SELECT {', '.join(columns)} FROM read_parquet('{quoted}')").fetchall()


def encodings(files):
    import pyarrow.parquet as pq

    found = set()
    for file in files:
        metadata = pq.ParquetFile(file).metadata
        for row_group in map(metadata.row_group, range(metadata.num_row_groups)):
            for chunk in map(row_group.column, range(row_group.num_columns)):
                found |= {(chunk.physical_type, encoding) for encoding in chunk.encodings}
    return found


def main():
    printed = {"pyarrow": rows_of_pyarrow, "duckdb": rows_of_duckdb, "encodings": encodings}
    rows = printed[sys.argv[1]](sys.argv[2:])
    for row in rows:
        print(json.dumps([text(value) for value in row]))


main()
