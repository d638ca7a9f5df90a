"""What the query language needs on PostgreSQL: its functions. The index over whole rows is that of
migration 0005; an older one, which stood here, is dropped there.
"""

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

# The values on a path, as `datasources.query.where.paths` says it; NULL where one is missing.
WALK_ALL = """
CREATE OR REPLACE FUNCTION rowkeeper_walk(item jsonb, path text[]) RETURNS TABLE (v jsonb)
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT w.v FROM rowkeeper_walk_from(item, path, 1) AS w
$$;
"""

# The same, but a list at the end is one value: lists are opened on the way alone.
ENDS = r"""
CREATE OR REPLACE FUNCTION rowkeeper_ends_from(
    item jsonb, path text[], at integer
) RETURNS TABLE (v jsonb) LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    member jsonb;
BEGIN
    IF at > cardinality(path) THEN
        v := item;
        RETURN NEXT;
    ELSIF jsonb_typeof(item) = 'array' AND path[at] !~ '^[0-9]+$' THEN
        FOR member IN SELECT m FROM jsonb_array_elements(item) AS members(m) LOOP
            RETURN QUERY SELECT w.v FROM rowkeeper_ends_from(member, path, at) AS w;
        END LOOP;
    ELSIF jsonb_typeof(item) = 'array' THEN
        member := CASE WHEN path[at] ~ '^(0|[1-9][0-9]{0,8})$' THEN item -> path[at]::integer END;
        RETURN QUERY SELECT w.v FROM rowkeeper_ends_from(member, path, at + 1) AS w;
    ELSIF jsonb_typeof(item) = 'object' THEN
        RETURN QUERY SELECT w.v FROM rowkeeper_ends_from(item -> path[at], path, at + 1) AS w;
    ELSE
        v := NULL;
        RETURN NEXT;
    END IF;
END
$$;
"""

ENDS_ALL = """
CREATE OR REPLACE FUNCTION rowkeeper_ends(item jsonb, path text[]) RETURNS TABLE (v jsonb)
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT w.v FROM rowkeeper_ends_from(item, path, 1) AS w
$$;
"""

# The instant of a date's text in milliseconds, as `datasources.query.where.dates.instant` says it.
INSTANT = r"""
CREATE OR REPLACE FUNCTION rowkeeper_instant(value text) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    p text[];
    day date;
    minutes integer := 0;
BEGIN
    p := regexp_match(value COLLATE "C", '^(\d{4})-(\d{2})-(\d{2})'
        '(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?(Z|[+-]\d{2}:?\d{2})?)?$');
    IF p IS NULL THEN
        p := regexp_match(value COLLATE "C", '^(\d{2}):(\d{2})(?::(\d{2}))?$');
        IF p IS NULL OR p[1]::integer > 23 OR p[2]::integer > 59
            OR coalesce(p[3], '0')::integer > 59 THEN
            RETURN NULL;
        END IF;
        RETURN -1000000000000000 + 1000 * ((p[1]::bigint * 60 + p[2]::integer) * 60
            + coalesce(p[3], '0')::integer);
    END IF;
    IF p[1]::integer < 1 OR p[2]::integer NOT BETWEEN 1 AND 12 OR p[3]::integer < 1
        OR p[3]::integer > (CASE WHEN p[2]::integer = 2 THEN
            CASE WHEN p[1]::integer % 4 = 0
                AND (p[1]::integer % 100 <> 0 OR p[1]::integer % 400 = 0) THEN 29 ELSE 28 END
            WHEN p[2]::integer IN (4, 6, 9, 11) THEN 30 ELSE 31 END)
        OR coalesce(p[4], '0')::integer > 23 OR coalesce(p[5], '0')::integer > 59
        OR coalesce(p[6], '0')::integer > 59 THEN
        RETURN NULL;
    END IF;
    day := make_date(p[1]::integer, p[2]::integer, p[3]::integer);
    IF p[8] IS NOT NULL AND p[8] <> 'Z' THEN
        IF substr(p[8], 2, 2)::integer > 15 OR right(p[8], 2)::integer > 59 THEN
            RETURN NULL;
        END IF;
        minutes := (substr(p[8], 2, 2)::integer * 60 + right(p[8], 2)::integer)
            * CASE WHEN left(p[8], 1) = '-' THEN -1 ELSE 1 END;
    END IF;
    RETURN rowkeeper_in_years(((day - date '1970-01-01')::bigint * 86400
        + (coalesce(p[4], '0')::integer * 60 + coalesce(p[5], '0')::integer - minutes) * 60
        + coalesce(p[6], '0')::integer) * 1000
        + rpad(left(coalesce(p[7], '0'), 3), 3, '0')::integer);
END
$$;
"""

# Only instants of the years 1 to 9999 are dates.
IN_YEARS = """
CREATE OR REPLACE FUNCTION rowkeeper_in_years(ms bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN ms BETWEEN -62135596800000 AND 253402300799999 THEN ms END
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
        for statement in (WALK, WALK_ALL, ENDS, ENDS_ALL, IN_YEARS, INSTANT, LOWER.format(upper=upper, lower=lower)):
            cursor.execute(statement)


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
            "rowkeeper_ends(jsonb, text[])",
            "rowkeeper_ends_from(jsonb, text[], integer)",
            "rowkeeper_instant(text)",
            "rowkeeper_in_years(bigint)",
            "rowkeeper_lower(text)",
        ):
            cursor.execute(f"DROP FUNCTION IF EXISTS {function}")


class Migration(migrations.Migration):
    """Nothing to do on SQLite: its functions are registered on each connection."""

    dependencies = [("rowkeeper_datasources", "0001_initial")]

    operations = [migrations.RunPython(forwards, backwards)]
