"""Run by the code of today: migrates, and prints the schema and what it finds, as JSON."""

import json
import sys
from typing import Any

import django
from django.core.management import call_command

# Each needs a function of ours on PostgreSQL.
WHERES = [
    {"Name": {"$iLike": "änne"}},
    {"Tags.Color": "red"},
    {"Tags": {"$elemMatch": {"Color": "blue"}}},
    {"$filters": [{"column": "Since", "condition": "datebefore", "value": "2021-01-01"}]},
]


def rows(sql: str) -> list[Any]:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(sql)
        return sorted([str(value) for value in row] for row in cursor.fetchall())


def schema() -> dict[str, Any]:
    """Every column, index, constraint and function of our tables, in no order of their making."""
    from django.db import connection

    if connection.vendor == "sqlite":
        tables = "SELECT name FROM sqlite_master WHERE type='table' AND name LIKE 'rowkeeper%'"
        names = [row[0] for row in rows(tables)]
        return {
            "columns": {
                name: sorted(row[1:] for row in rows(f"PRAGMA table_info({name})"))
                for name in names
            },
            "references": {
                name: sorted(row[2:] for row in rows(f"PRAGMA foreign_key_list({name})"))
                for name in names
            },
            "indexes": rows(
                "SELECT tbl_name,sql FROM sqlite_master WHERE type='index' "
                "AND tbl_name LIKE 'rowkeeper%' AND sql IS NOT NULL"
            ),
        }
    ours = "LIKE 'rowkeeper%'"
    return {
        "columns": rows(
            "SELECT table_name,column_name,data_type,character_maximum_length,is_nullable,"
            "column_default,is_identity FROM information_schema.columns "
            f"WHERE table_schema=current_schema() AND table_name {ours}"
        ),
        "indexes": rows(
            "SELECT indexdef,indisvalid FROM pg_indexes JOIN pg_index "
            f"ON indexrelid=to_regclass(indexname) WHERE tablename {ours}"
        ),
        "constraints": rows(
            "SELECT conrelid::regclass,contype,pg_get_constraintdef(oid) FROM pg_constraint "
            f"WHERE conrelid::regclass::text {ours}"
        ),
        "functions": rows(
            "SELECT proname,pg_get_function_arguments(oid),pg_get_function_result(oid),prosrc,"
            f"provolatile,proparallel FROM pg_proc WHERE proname {ours}"
        ),
    }


def found() -> dict[str, Any]:
    """What the code of today reads of the data of before."""
    from rowkeeper.datasources import store
    from rowkeeper.datasources.catalog import registry
    from rowkeeper.datasources.models import DataSource
    from rowkeeper.datasources.query.where import parse_where
    from rowkeeper.rules.repository.rules import rules_of

    model = DataSource.objects.filter(name="Upgraded").first()
    if model is None:
        return {}
    source = registry.source_of(model)
    asked = [parse_where(where, source.columns) for where in [{}, *WHERES]]
    return {
        "rows": [[row.data for row in store.admin_page(source, ask, (), 10, 0)] for ask in asked],
        "rules": rules_of(model),
        "app": model.app_id is not None and model.app.name,
    }


def main() -> None:
    django.setup()
    if "--stay" not in sys.argv:
        call_command("migrate", verbosity=0)
    from django.core.checks import run_checks

    # Their order differs from process to process.
    warnings = sorted(
        str(told.msg) for told in run_checks(databases=["default"]) if told.level >= 30
    )
    # `--stay`: after the code before has migrated alone.
    print(json.dumps({"schema": schema(), "found": found(), "warnings": warnings}))


if __name__ == "__main__":
    main()
