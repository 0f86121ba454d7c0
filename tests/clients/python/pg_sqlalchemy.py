"""What a user of SQLAlchemy does, with pandas and polars on top. Arguments: a URL with its driver, postgresql+psycopg or +psycopg2.

Makes and drops tables and views s_…, and a schema s_schema."""

import datetime as dt
import sys
import uuid
from decimal import Decimal

import pandas
import polars
import sqlalchemy as sa
from sqlalchemy import orm

from steps import equal, main, raises, step

TABLES = """
CREATE TABLE s_parent (a int, b text, CONSTRAINT s_parent_key PRIMARY KEY (a));
CREATE TABLE s_child (
    k int PRIMARY KEY, parent int NOT NULL REFERENCES s_parent (a), w varchar(20) DEFAULT 'x', n numeric(8,3), f double precision,
    d date, t timestamp, z timestamptz, i interval, y bytea, ok boolean, j json, u uuid,
    CONSTRAINT s_unique UNIQUE (k, parent), CONSTRAINT s_check CHECK (n > 0));
CREATE VIEW s_view AS SELECT k, w FROM s_child;
"""
DROPS = """
DROP VIEW IF EXISTS s_view;
DROP TABLE IF EXISTS s_child;
DROP TABLE IF EXISTS s_parent;
"""


def script(engine, text):
    with engine.begin() as connection:
        for statement in text.split(";"):
            if statement.strip():
                connection.exec_driver_sql(statement)


@step
def connect(engine):
    with engine.connect() as connection:
        equal(1, connection.scalar(sa.text("SELECT 1")), "SELECT 1")
        equal("public", engine.dialect.default_schema_name, "schema")
        equal(True, engine.dialect.server_version_info >= (9, 4), "version")
        equal("READ COMMITTED", connection.get_isolation_level(), "level")


@step
def reflection(engine):
    script(engine, DROPS + TABLES)
    inspector = sa.inspect(engine)
    equal(True, "public" in inspector.get_schema_names(), "schemas")
    equal({"s_parent", "s_child"}, {name for name in inspector.get_table_names() if name.startswith("s_")}, "tables")
    equal(True, "s_view" in inspector.get_view_names(), "views")
    equal(True, inspector.has_table("s_child") and not inspector.has_table("s_no"), "has_table")
    equal(True, inspector.has_schema("public") and not inspector.has_schema("s_no"), "has_schema")
    columns = {column["name"]: column for column in inspector.get_columns("s_child")}
    equal(["k", "parent", "w", "n", "f", "d", "t", "z", "i", "y", "ok", "j", "u"], list(columns), "columns")
    types = {"k": "INTEGER", "w": "VARCHAR(20)", "n": "NUMERIC(8, 3)", "f": "DOUBLE PRECISION", "d": "DATE", "t": "TIMESTAMP",
             "i": "INTERVAL", "y": "BYTEA", "ok": "BOOLEAN", "j": "JSON"}
    equal(types, {name: str(columns[name]["type"]) for name in types}, "types")
    equal((False, True), (columns["parent"]["nullable"], columns["w"]["nullable"]), "nullable")
    equal(True, columns["z"]["type"].timezone, "timezone")
    equal(True, columns["w"]["default"].startswith("'x'"), "default")
    equal(["k"], inspector.get_pk_constraint("s_child")["constrained_columns"], "primary key")
    equal("s_parent_key", inspector.get_pk_constraint("s_parent")["name"], "name of a primary key")
    equal([("s_unique", ["k", "parent"])], [(key["name"], key["column_names"]) for key in inspector.get_unique_constraints("s_child")], "unique")
    equal(["s_check"], [check["name"] for check in inspector.get_check_constraints("s_child")], "check")
    equal(True, "n > " in inspector.get_check_constraints("s_child")[0]["sqltext"], "text of a check")
    # Damson reads foreign keys and forgets them.
    equal(list, type(inspector.get_foreign_keys("s_child")), "foreign keys")
    equal(list, type(inspector.get_indexes("s_child")), "indexes")
    equal({"text": None}, inspector.get_table_comment("s_child"), "comment")
    equal(True, "s_child" in inspector.get_view_definition("s_view"), "a view's text")
    equal(["k", "w"], [column["name"] for column in inspector.get_columns("s_view")], "a view's columns")
    equal([], inspector.get_materialized_view_names(), "materialized views")
    equal(list, type(inspector.get_sequence_names()), "sequences")
    equal([], inspector.get_temp_table_names(), "temporary tables")
    equal([], inspector.get_enums(), "enums")
    equal(True, isinstance(inspector.get_table_oid("s_child"), int), "OID")
    raises(sa.exc.NoSuchTableError, inspector.get_columns, "s_no")
    every = inspector.get_multi_columns()
    equal(True, (None, "s_child") in every, "all columns")
    for all_of in ("get_multi_pk_constraint", "get_multi_unique_constraints", "get_multi_check_constraints", "get_multi_foreign_keys",
                   "get_multi_indexes", "get_multi_table_comment", "get_multi_table_options"):
        equal(True, (None, "s_child") in getattr(inspector, all_of)(), all_of)
    meta = sa.MetaData()
    meta.reflect(engine, views=True, only=lambda name, _: name.startswith("s_"))
    equal({"s_parent", "s_child", "s_view"}, set(meta.tables), "MetaData.reflect")
    equal(["k"], [column.name for column in meta.tables["s_child"].primary_key], "reflected key")
    alone = sa.Table("s_parent", sa.MetaData(), autoload_with=engine)
    equal(["a", "b"], alone.columns.keys(), "autoload")


@step
def values(engine):
    script(engine, DROPS + TABLES)
    meta = sa.MetaData()
    child = sa.Table("s_child", meta, autoload_with=engine)
    parent = sa.Table("s_parent", meta, autoload_with=engine)
    row = {"k": 1, "parent": 1, "w": "é'", "n": Decimal("1.500"), "f": 2.5, "d": dt.date(2020, 1, 2), "t": dt.datetime(2020, 1, 2, 3, 4, 5, 6),
           "z": dt.datetime(2020, 1, 2, 3, tzinfo=dt.timezone.utc), "i": dt.timedelta(days=1, seconds=5), "y": b"\x00\xff", "ok": True}
    with engine.begin() as connection:
        connection.execute(parent.insert(), [{"a": 1}, {"a": 2}])
        connection.execute(child.insert(), [row, {**dict.fromkeys(row), "k": 2, "parent": 2}])
    with engine.connect() as connection:
        query = sa.select(*[child.c[name] for name in row]).order_by(child.c.k)
        found = connection.execute(query).mappings().all()
        equal(row, dict(found[0]), "the row")
        equal({None}, set(found[1].values()) - {2}, "NULLs")
        for name in ("w", "n", "d", "t", "z", "ok"):
            equal(1, connection.scalar(sa.select(child.c.k).where(child.c[name] == row[name])), f"a row found by {name}")
        equal([1, 2], connection.scalars(sa.select(child.c.k).where(child.c.k.in_([1, 2, 3])).order_by(child.c.k)).all(), "IN")
        equal(2, connection.scalar(sa.select(sa.func.count()).where(child.c.w.is_(None) | (child.c.w != ""))), "conditions")


@step
def documents_and_uuids(engine):
    """Values that are Python's objects by the type of their column."""
    table = sa.Table("s_types", sa.MetaData(), sa.Column("k", sa.Integer, primary_key=True), sa.Column("j", sa.JSON), sa.Column("u", sa.Uuid))
    row = (1, {"a": [1, None]}, uuid.UUID("12345678-1234-5678-1234-567812345678"))
    table.drop(engine, checkfirst=True)
    table.create(engine)
    with engine.begin() as connection:
        connection.execute(table.insert(), dict(zip("kju", row)))
        found = tuple(connection.execute(sa.select(table)).one())
    table.drop(engine)
    equal(row, found, "the row")


class Base(orm.DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "s_author"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str] = orm.mapped_column(sa.String(50), index=False)
    books: orm.Mapped[list["Book"]] = orm.relationship(back_populates="author")


class Book(Base):
    __tablename__ = "s_book"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    title: orm.Mapped[str]
    price: orm.Mapped[Decimal] = orm.mapped_column(sa.Numeric(8, 2))
    made: orm.Mapped[dt.datetime] = orm.mapped_column(sa.DateTime(timezone=True), server_default=sa.func.now())
    author_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("s_author.id"))
    author: orm.Mapped[Author] = orm.relationship(back_populates="books")


@step
def objects(engine):
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    Base.metadata.create_all(engine)
    with orm.Session(engine) as session:
        ann = Author(name="Ann", books=[Book(title="B1", price=Decimal("1.50")), Book(title="B2", price=Decimal("2"))])
        session.add_all([ann, Author(name="Ben")])
        session.commit()
        equal(True, ann.id is not None and ann.books[0].made is not None, "what the server gives")
        # insertmanyvalues: many rows in one INSERT … RETURNING, in the order of the objects.
        many = [Author(name=f"N{n}") for n in range(2500)]
        session.add_all(many)
        session.flush()
        equal(2500, len({author.id for author in many}), "ids")
        found = dict(session.execute(sa.select(Author.id, Author.name)).all())
        equal([author.name for author in many], [found[author.id] for author in many], "each object has the id of its row")
        session.commit()
        ids = session.scalars(sa.insert(Author).returning(Author.id, sort_by_parameter_order=True), [{"name": "x"}, {"name": "y"}]).all()
        equal(["x", "y"], [session.get(Author, id).name for id in ids], "RETURNING in the order of the parameters")
        session.rollback()
    with orm.Session(engine) as session:
        ann = session.scalars(sa.select(Author).where(Author.name == "Ann")).one()
        equal(["B1", "B2"], sorted(book.title for book in ann.books), "a relationship")
        joined = session.execute(sa.select(Author.name, sa.func.sum(Book.price)).join(Book).group_by(Author.name)).all()
        equal([("Ann", Decimal("3.50"))], [tuple(row) for row in joined], "a join")
        loaded = session.scalars(sa.select(Author).options(orm.selectinload(Author.books)).where(Author.name.in_(["Ann", "Ben"]))).all()
        equal(2, len(loaded), "selectinload")
        loaded = session.scalars(sa.select(Author).options(orm.joinedload(Author.books)).where(Author.name == "Ann")).unique().all()
        equal(2, len(loaded[0].books), "joinedload")
        ann.name = "Anne"
        session.commit()
        equal("Anne", session.get(Author, ann.id).name, "UPDATE")
        result = session.execute(sa.update(Book).where(Book.title == "B1").values(price=Book.price + 1).returning(Book.price))
        equal([Decimal("2.50")], result.scalars().all(), "UPDATE … RETURNING")
        session.delete(session.scalars(sa.select(Book).where(Book.title == "B2")).one())
        session.commit()
        equal(1, session.scalar(sa.select(sa.func.count()).select_from(Book)), "DELETE")
        session.execute(sa.delete(Author).where(Author.name.like("N%")))
        session.commit()
        equal(["Anne", "Ben"], session.scalars(sa.select(Author.name).order_by(Author.name)).all(), "what is left")
    from sqlalchemy.dialects.postgresql import insert
    with engine.begin() as connection:
        upsert = insert(Author).values([{"id": 1_000_000, "name": "u"}])
        upsert = upsert.on_conflict_do_update(index_elements=[Author.id], set_={"name": upsert.excluded.name + "!"})
        connection.execute(upsert)
        connection.execute(upsert)
        equal("u!", connection.scalar(sa.select(Author.name).where(Author.id == 1_000_000)), "ON CONFLICT")
    Base.metadata.drop_all(engine)


@step
def transactions(engine):
    table = sa.Table("s_t", sa.MetaData(), sa.Column("k", sa.Integer, primary_key=True, autoincrement=False), sa.Column("w", sa.Text))
    table.drop(engine, checkfirst=True)
    table.create(engine, checkfirst=True)
    count = sa.select(sa.func.count()).select_from(table)
    with engine.connect() as connection:
        connection.execute(table.insert(), {"k": 1, "w": "a"})
        connection.rollback()
        equal(0, connection.scalar(count), "after ROLLBACK")
        with connection.begin_nested():
            connection.execute(table.insert(), [{"k": k, "w": "b"} for k in range(1, 1001)])
        nested = connection.begin_nested()
        connection.execute(table.delete())
        nested.rollback()
        equal(1000, connection.scalar(count), "after a savepoint")
        connection.commit()
        error = raises(sa.exc.IntegrityError, connection.execute, table.insert(), {"k": 5, "w": "c"})
        equal("23505", getattr(error.orig, "sqlstate", None) or error.orig.pgcode, "sqlstate")
        connection.rollback()
        raises(sa.exc.ProgrammingError, connection.execute, sa.text("SELECT no FROM s_t"))
        connection.rollback()
    for level in ("AUTOCOMMIT", "REPEATABLE READ", "SERIALIZABLE"):
        with engine.connect().execution_options(isolation_level=level) as connection:
            equal(1000, connection.scalar(count), level)
    with engine.connect() as connection:
        rows = connection.execution_options(stream_results=True, yield_per=300).execute(sa.select(table.c.k).order_by(table.c.k))
        equal(list(range(1, 1001)), [row.k for row in rows], "rows of a cursor of the server's")
    with engine.begin() as connection:
        equal(10, connection.execute(sa.update(table).where(table.c.k <= 10).values(w="z")).rowcount, "rowcount")
        connection.execute(sa.update(table).where(table.c.k == sa.bindparam("key")).values(w=sa.bindparam("new")),
                           [{"key": k, "new": f"n{k}"} for k in range(1, 6)])
        equal("n3", connection.scalar(sa.select(table.c.w).where(table.c.k == 3)), "UPDATE of many")
    table.drop(engine)


@step
def schemas(engine):
    script(engine, "DROP SCHEMA IF EXISTS s_schema CASCADE; CREATE SCHEMA s_schema; CREATE TABLE s_schema.s_in (k int PRIMARY KEY)")
    inspector = sa.inspect(engine)
    equal(["s_in"], inspector.get_table_names(schema="s_schema"), "tables of a schema")
    equal(["k"], [column["name"] for column in inspector.get_columns("s_in", schema="s_schema")], "columns")
    meta = sa.MetaData(schema="s_schema")
    meta.reflect(engine)
    equal({"s_schema.s_in"}, set(meta.tables), "MetaData of a schema")
    with engine.begin() as connection:
        connection.execute(meta.tables["s_schema.s_in"].insert(), [{"k": 1}])
        connection.exec_driver_sql("SET LOCAL search_path = s_schema")
        equal(1, connection.scalar(sa.text("SELECT k FROM s_in")), "search_path")
    script(engine, "DROP SCHEMA s_schema CASCADE")


@step
def of_pandas(engine):
    frame = pandas.DataFrame({
        "i": [1, 2, 3], "f": [1.5, None, -2.0], "w": ["a", None, "é"], "ok": [True, False, True],
        "t": pandas.to_datetime(["2020-01-01 00:00:00", "2020-01-02 03:04:05", None]), "d": [dt.date(2020, 1, 1), None, dt.date(1999, 12, 31)],
    })
    for method in (None, "multi"):
        frame.to_sql("s_frame", engine, if_exists="replace", index=False, method=method)
        found = pandas.read_sql("SELECT * FROM s_frame ORDER BY i", engine)
        equal(["i", "f", "w", "ok", "t", "d"], list(found.columns), "columns")
        equal(frame["w"].fillna("").tolist(), found["w"].fillna("").tolist(), "texts")
        equal([1.5, -2.0], found["f"].dropna().tolist(), "floats")
        equal(frame["t"].dropna().tolist(), found["t"].dropna().tolist(), "timestamps")
    frame.to_sql("s_frame", engine, if_exists="append", index=False, chunksize=2)
    equal(6, pandas.read_sql_query(sa.text("SELECT count(*) AS n FROM s_frame"), engine)["n"][0].item(), "rows after an append")
    table = pandas.read_sql_table("s_frame", engine, columns=["i", "w"], parse_dates=["t"])
    equal((6, 2), table.shape, "read_sql_table")
    chunks = list(pandas.read_sql("SELECT i FROM s_frame", engine, chunksize=4))
    equal([4, 2], [len(chunk) for chunk in chunks], "chunks")
    large = pandas.DataFrame({"k": range(5000), "w": [f"w{n}" for n in range(5000)]})
    large.to_sql("s_large", engine, if_exists="replace", index=False, method="multi", chunksize=1000)
    equal(5000, pandas.read_sql("SELECT k FROM s_large", engine)["k"].nunique(), "rows of to_sql")
    equal(1, len(pandas.read_sql("SELECT * FROM s_large WHERE k = %(k)s", engine, params={"k": 77})), "a parameter")
    raises(ValueError, large.to_sql, "s_large", engine, if_exists="fail")
    script(engine, "DROP TABLE s_frame; DROP TABLE s_large")


@step
def of_polars(engine):
    frame = polars.DataFrame({"i": [1, 2, 3], "f": [1.5, None, -2.0], "w": ["a", None, "é"], "d": [dt.date(2020, 1, 1), None, dt.date(1999, 12, 31)]})
    frame.write_database("s_polars", engine, if_table_exists="replace", engine="sqlalchemy")
    found = polars.read_database("SELECT * FROM s_polars ORDER BY i", engine)
    equal(frame.rows(), found.rows(), "rows of a frame")
    with engine.connect() as connection:
        found = polars.read_database("SELECT i FROM s_polars WHERE i > :i", connection, execute_options={"parameters": {"i": 1}})
        equal(2, len(found), "a parameter")
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    found = polars.read_database_uri("SELECT i, f, w, d FROM s_polars ORDER BY i", url, engine="adbc")
    equal(frame.rows(), found.rows(), "rows of ADBC")
    equal(3, frame.write_database("s_polars", url, if_table_exists="append", engine="adbc"), "rows that ADBC sends")
    equal(6, polars.read_database("SELECT count(*) AS n FROM s_polars", engine)["n"][0], "rows after that")
    script(engine, "DROP TABLE s_polars")


@step
def leaves_nothing(engine):
    script(engine, DROPS)
    engine.dispose()


if __name__ == "__main__":
    main(sa.create_engine(sys.argv[1]))
