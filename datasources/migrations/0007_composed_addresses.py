"""Compose the addresses that people sign in with: they are stored in Unicode's NFC."""

from django.db import connections, migrations

from rowkeeper.datasources.catalog.normalization import compose_stored
from rowkeeper.datasources.definition import login_of


def forwards(apps, schema_editor):
    """Rows whose address is composed already are not written."""
    alias = schema_editor.connection.alias
    sources = apps.get_model("rowkeeper_datasources", "DataSource").objects.using(alias)
    for key, definition in sources.values_list("pk", "definition"):
        login = login_of(definition)
        if login is not None:
            compose_stored(connections[alias], key, login.email_column)


class Migration(migrations.Migration):
    """Backwards, the rows stay: a composed address is one for any version."""

    dependencies = [("rowkeeper_datasources", "0006_written_columns")]

    operations = [migrations.RunPython(forwards, migrations.RunPython.noop)]
