"""What the query language needs on PostgreSQL: three functions, and an index over whole rows."""

from __future__ import annotations

import sys

from django.db import migrations

WALK = r"""
CREATE OR REPLACE FUNCTION rowkeeper_walk_from(
    item jsonb, path text[], at integer
) RETURNS TABLE (v jsonb) LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    ended CONSTANT boolean := at > cardinality(path);
    member jsonb;
BEGIN
    IF jsonb_typeof(item) = 'array' AND (ended OR path[at] !~ '^[0-9]+$') THEN
        FOR member IN SELECT m FROM jsonb_array_elements(item) AS members(m) LOOP
            RETURN QUERY SELECT w.v FROM rowkeeper_walk_from(member, path, at) AS w;
        END LOOP;
        IF NOT ended THEN
            RETURN;
        END IF;
    END IF;
    IF ended THEN
        v := item;
        RETURN NEXT;
    ELSIF item IS NULL OR jsonb_typeof(item) = 'null' THEN
        v := NULL;
        RETURN NEXT;
    ELSE
        CASE jsonb_typeof(item)
            WHEN 'object' THEN
                member := item -> path[at];
            WHEN 'array' THEN
                member := CASE WHEN path[at] ~ '^(0|[1-9][0-9]{0,8})$'
                    THEN item -> path[at]::integer END;
            ELSE
                member := NULL;
        END CASE;
        RETURN QUERY SELECT w.v
            FROM rowkeeper_walk_from(member, path, at + 1) AS w;
    END IF;
END
$$;
"""

# The values on a path, as `datasources.where.walk` says it; NULL where one is missing.
WALK_ALL = """
CREATE OR REPLACE FUNCTION rowkeeper_walk(item jsonb, path text[]) RETURNS TABLE (v jsonb)
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT w.v FROM rowkeeper_walk_from(item, path, 1) AS w
$$;
"""

# Unicode's simple lower-casing, as `datasources.values.lower` says it.
LOWER = """
CREATE OR REPLACE FUNCTION rowkeeper_lower(value text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN octet_length(value) = char_length(value) THEN lower(value COLLATE "C")
        ELSE translate(lower(value COLLATE "C"), '{upper}', '{lower}') END
$$;
"""


def pairs() -> tuple[str, str]:
    """Every character beyond ASCII that has another in lower case, and those."""
    upper, lower = [], []
    for point in range(128, sys.maxunicode + 1):
        character = chr(point)
        small = "i" if character == "\u0130" else character.lower()
        if small != character and len(small) == 1:
            upper.append(character)
            lower.append(small)
    return "".join(upper), "".join(lower)


def forwards(apps: object, schema_editor: object) -> None:
    """Make them."""
    connection = schema_editor.connection  # type: ignore[attr-defined]
    if connection.vendor != "postgresql":
        return
    upper, lower = pairs()
    with connection.cursor() as cursor:
        for statement in (WALK, WALK_ALL, LOWER.format(upper=upper, lower=lower)):
            cursor.execute(statement)
        cursor.execute("SELECT 1 FROM pg_available_extensions WHERE name='btree_gin'")
        # With it the index knows the data source too; without it, that is looked up per row.
        together = cursor.fetchone() is not None
        if together:
            cursor.execute("CREATE EXTENSION IF NOT EXISTS btree_gin")
        source = "data_source_id, " if together else ""
        cursor.execute(
            "CREATE INDEX IF NOT EXISTS rowkeeper_entry_data ON rowkeeper_datasources_entry "
            f"USING gin ({source}data jsonb_path_ops)"
        )


def backwards(apps: object, schema_editor: object) -> None:
    """Remove them."""
    connection = schema_editor.connection  # type: ignore[attr-defined]
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX IF EXISTS rowkeeper_entry_data")
        for function in (
            "rowkeeper_walk(jsonb, text[])",
            "rowkeeper_walk_from(jsonb, text[], integer)",
            "rowkeeper_lower(text)",
        ):
            cursor.execute(f"DROP FUNCTION IF EXISTS {function}")


class Migration(migrations.Migration):
    """Nothing to do on SQLite: its functions are registered on each connection."""

    dependencies = [("rowkeeper_datasources", "0001_initial")]

    operations = [migrations.RunPython(forwards, backwards)]
