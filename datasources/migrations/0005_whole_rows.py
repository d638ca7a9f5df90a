"""The index over whole rows anew, on PostgreSQL: of each row within its data source.

It stood over the data source and the row. For each row that was sought, it looked through the list
of all the rows of the data source, so that fifty rows of a hundred thousand took twice the time of
fifty of a thousand.
"""

from django.db import migrations

NEW, OLD = "rowkeeper_entry_whole", "rowkeeper_entry_data"
# The expression of `rowkeeper.datasources.query.where.containment.WHOLE_POSTGRESQL`.
WHOLE = "jsonb_set('{}'::jsonb,ARRAY[data_source_id::text],data) jsonb_path_ops"


def forwards(apps, schema_editor):
    """Built beside the writes, where the migration does not stand in a transaction."""
    _replace(schema_editor, NEW, WHOLE, OLD)


def backwards(apps, schema_editor):
    """The one that was before."""
    if schema_editor.connection.vendor != "postgresql":
        return
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_extension WHERE extname='btree_gin'")
        together = cursor.fetchone() is not None
    _replace(schema_editor, OLD, f"{'data_source_id, ' if together else ''}data jsonb_path_ops", NEW)


def _replace(schema_editor, name, over, other):
    connection = schema_editor.connection
    if connection.vendor != "postgresql":
        return
    beside = "" if connection.in_atomic_block else "CONCURRENTLY"
    with connection.cursor() as cursor:
        # One that was not finished is there, and never used.
        cursor.execute(f"DROP INDEX {beside} IF EXISTS {name}")
        cursor.execute(
            f"CREATE INDEX {beside} {name} ON rowkeeper_datasources_entry USING gin ({over}) "
            # Every look into it reads all that waits to be put into it.
            "WITH (gin_pending_list_limit=256)"
        )
        if name == NEW:
            # No statistics of whole rows: they tell a planner nothing, and plans differ by them.
            cursor.execute(f"ALTER INDEX {name} ALTER COLUMN 1 SET STATISTICS 0")
        cursor.execute(f"DROP INDEX {beside} IF EXISTS {other}")


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ("rowkeeper_datasources", "0004_indexed_columns"),
    ]

    operations = [
        migrations.RunPython(forwards, backwards, atomic=False),
    ]
