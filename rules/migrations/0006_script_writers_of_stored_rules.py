"""Note who wrote the scripts that are stored, in rules and in revisions.

The rules in force say who wrote theirs. Of a text that only revisions have, the writer is not
known; it is noted as such, so that whoever brings it back does not become its writer.
"""

from hashlib import sha256
from typing import Any

from django.db import migrations
from django.db.models import TextField
from django.db.models.functions import Cast

_AT_ONCE = 500


def note_writers(apps: Any, schema_editor: Any) -> None:
    """Fill the table from rules and revisions."""
    found: dict[tuple[int, str], int | None] = {}
    rules = apps.get_model("rowkeeper_rules", "AccessRule").objects.using(schema_editor.connection.alias)
    rows = rules.exclude(script=None).values_list("data_source_id", "script", "script_by_id")
    for source_id, script, writer in rows.iterator():
        if isinstance(script, str):
            key = source_id, _digest(script)
            # Two are said to have written it: not known.
            found[key] = writer if found.get(key, writer) == writer else None
    revisions = apps.get_model("rowkeeper_rules", "Revision").objects.using(
        schema_editor.connection.alias
    )
    # A lookup on the field itself would encode the text as JSON.
    kept = revisions.annotate(text=Cast("rules", TextField())).filter(text__contains='"script"')
    kept = kept.values_list("data_source_id", "rules")
    for source_id, stored in kept.iterator(chunk_size=50):
        for rule in stored if isinstance(stored, list) else []:
            script = rule.get("script") if isinstance(rule, dict) else None
            if isinstance(script, str):
                found.setdefault((source_id, _digest(script)), None)
    model = apps.get_model("rowkeeper_rules", "ScriptWriter")
    model.objects.using(schema_editor.connection.alias).bulk_create(
        [
            model(data_source_id=source_id, digest=digest, writer_id=writer)
            for (source_id, digest), writer in found.items()
        ],
        batch_size=_AT_ONCE,
    )


def _digest(script: str) -> str:
    return sha256(script.encode("utf-8", "surrogatepass")).hexdigest()


class Migration(migrations.Migration):
    dependencies = [("rowkeeper_rules", "0005_script_writers")]
    operations = [migrations.RunPython(note_writers, migrations.RunPython.noop)]
