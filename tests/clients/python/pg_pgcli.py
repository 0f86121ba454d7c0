"""What pgcli asks for before its first prompt, and for completion. Argument: a URL. Makes and drops the table g_t and the view g_v."""

import os
import subprocess
import sys
import tempfile

import psycopg
from pgcli.pgexecute import PGExecute
from pgspecial.main import PGSpecial

from steps import equal, main, step


def run(connection, statement):
    return [(rows and list(rows), status) for _, rows, _, status, *_ in connection.run(statement)]


@step
def makes(pgcli):
    for statement in ("DROP VIEW IF EXISTS g_v", "DROP TABLE IF EXISTS g_t", "CREATE TABLE g_t (k int PRIMARY KEY, w text DEFAULT 'x')",
                      "CREATE VIEW g_v AS SELECT k FROM g_t"):
        run(pgcli, statement)


@step
def completion(pgcli):
    equal(True, "public" in pgcli.schemata(), "schemata")
    equal(True, "public" in pgcli.search_path(), "search_path")
    equal(True, ("public", "g_t") in list(pgcli.tables()), "tables")
    equal(True, ("public", "g_v") in list(pgcli.views()), "views")
    columns = [column for column in pgcli.table_columns() if column[1] == "g_t"]
    equal([("public", "g_t", "k", "integer", False), ("public", "g_t", "w", "text", True)], [tuple(column[:5]) for column in columns], "table_columns")
    equal(["k"], [column[2] for column in pgcli.view_columns() if column[1] == "g_v"], "view_columns")
    equal(True, pgcli.dbname in pgcli.databases(), "databases")
    equal(list, type(list(pgcli.functions())), "functions")
    equal(list, type(list(pgcli.datatypes())), "datatypes")


@step
def foreign_keys(pgcli):
    equal([], list(pgcli.foreignkeys()), "foreignkeys")


@step
def casing(pgcli):
    equal(list, type(list(pgcli.casing())), "casing")


@step
def commands(pgcli):
    special = PGSpecial()
    for command in ("\\d", "\\d g_t", "\\d+ g_t", "\\d g_v", "\\dt", "\\dt+", "\\dv", "\\dn", "\\l", "\\df", "\\di", "\\ds", "\\du", "\\dT", "\\dx"):
        for _, rows, *_ in pgcli.run(command, special):
            for _ in rows or ():
                pass


@step
def the_program(_):
    """pgcli itself, with a home of its own."""
    program = os.path.join(os.path.dirname(sys.executable), "pgcli")
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "PAGER": "cat", "HOME": home, "XDG_CONFIG_HOME": home, "XDG_STATE_HOME": home}
        arguments = [program, "--less-chatty", "--command", "SELECT 6 * 7 AS answer", sys.argv[1]]
        done = subprocess.run(arguments, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    equal(True, "42" in done.stdout, f"what pgcli shows: {done.stdout} {done.stderr}")


@step
def drops(pgcli):
    run(pgcli, "DROP VIEW g_v")
    run(pgcli, "DROP TABLE g_t")


if __name__ == "__main__":
    parts = psycopg.conninfo.conninfo_to_dict(sys.argv[1])
    main(PGExecute(database=parts["dbname"], user=parts["user"], password=parts.get("password", ""), host=parts["host"], port=parts["port"]))
