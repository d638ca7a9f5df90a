"""The functions that the query language needs on PostgreSQL, and how they are installed.

A database keeps the functions of the release that created them. After each `migrate`, the functions
here are compared with those in the database, and missing or different ones are created. Migration
0002 creates the ones of its time; a change to a function belongs here, not in a migration. SQLite
has the functions of `datasources.compiler.sqlite_functions`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from ..caching import memoize
from ..database.features import features_of
from ..models import Entry

_WALK = r"""
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

# The values on a path, as in `datasources.query.where.paths`; NULL for a missing one.
_WALK_ALL = """
CREATE OR REPLACE FUNCTION rowkeeper_walk(item jsonb, path text[]) RETURNS TABLE (v jsonb)
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT w.v FROM rowkeeper_walk_from(item, path, 1) AS w
$$;
"""

# The values on a path, without expanding a list at its end.
_ENDS = r"""
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

_ENDS_ALL = """
CREATE OR REPLACE FUNCTION rowkeeper_ends(item jsonb, path text[]) RETURNS TABLE (v jsonb)
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT w.v FROM rowkeeper_ends_from(item, path, 1) AS w
$$;
"""

# Only instants in the years 1 to 9999 are dates.
_IN_YEARS = """
CREATE OR REPLACE FUNCTION rowkeeper_in_years(ms bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN ms BETWEEN -62135596800000 AND 253402300799999 THEN ms END
$$;
"""

# The instant of a date in milliseconds, as in `datasources.query.where.dates.instant`.
_INSTANT = r"""
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

# Unicode's simple lower-casing, as in `datasources.values.validation.lower`.
_LOWER = """
CREATE OR REPLACE FUNCTION rowkeeper_lower(value text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN octet_length(value) = char_length(value) THEN lower(value COLLATE "C")
        ELSE translate(lower(value COLLATE "C"), '{upper}', '{lower}') END
$$;
"""


@memoize(1)
def statements() -> Mapping[str, str]:
    """Return the statement that creates each function, by its signature, in order of creation."""
    upper, lower = _pairs()
    return {
        "rowkeeper_walk_from(jsonb, text[], integer)": _WALK,
        "rowkeeper_walk(jsonb, text[])": _WALK_ALL,
        "rowkeeper_ends_from(jsonb, text[], integer)": _ENDS,
        "rowkeeper_ends(jsonb, text[])": _ENDS_ALL,
        "rowkeeper_in_years(bigint)": _IN_YEARS,
        "rowkeeper_instant(text)": _INSTANT,
        "rowkeeper_lower(text)": _LOWER.format(upper=upper, lower=lower),
    }


def _pairs() -> tuple[str, str]:
    """Return all non-ASCII characters with a different lower case, and their lower cases."""
    upper, lower = [], []
    for point in range(128, sys.maxunicode + 1):
        character = chr(point)
        small = "i" if character == "\u0130" else character.lower()
        if small != character and len(small) == 1:
            upper.append(character)
            lower.append(small)
    return "".join(upper), "".join(lower)


def different(database: BaseDatabaseWrapper) -> dict[str, bool]:
    """Return the functions that differ from those here, as {signature: whether one exists}.

    The result is empty on SQLite, and before the table of entries exists.
    """
    if not features_of(database).stores_functions:
        return {}
    with database.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s)", [Entry._meta.db_table])
        if cursor.fetchone()[0] is None:
            return {}
        cursor.execute(
            "SELECT wanted.name,f.prosrc FROM unnest(%s::text[]) AS wanted(name) "
            "LEFT JOIN pg_proc f ON f.oid=to_regprocedure(wanted.name)",
            [list(statements())],
        )
        stored = dict(cursor.fetchall())
    return {
        name: stored[name] is not None
        for name, statement in statements().items()
        if stored[name] != statement.split("$$")[1]
    }


def make(database: BaseDatabaseWrapper) -> list[str]:
    """Create the functions that are missing or different; return their signatures."""
    found = different(database)
    with database.cursor() as cursor:
        for name, is_there in found.items():
            # Without parameters, a `%` needs no escape.
            cursor.execute(statements()[name])
            if is_there:
                _index_again(cursor, name)
    return list(found)


def _index_again(cursor: Any, name: str) -> None:
    """Rebuild the indexes that use a function, because they have results of its old version."""
    cursor.execute(
        "SELECT DISTINCT format('REINDEX INDEX %%s',d.objid::regclass) FROM pg_depend d "
        "JOIN pg_index i ON i.indexrelid=d.objid WHERE d.classid='pg_class'::regclass "
        "AND d.refclassid='pg_proc'::regclass AND d.refobjid=to_regprocedure(%s)",
        [name],
    )
    for (statement,) in cursor.fetchall():
        cursor.execute(statement)


def after_migrate(
    sender: object, using: str, plan: Sequence[tuple[Any, bool]] = (), **kwargs: object
) -> None:
    """Receive `post_migrate` of this app. A backward migration removes functions, permanently."""
    if not any(backwards for _, backwards in plan):
        make(connections[using])
