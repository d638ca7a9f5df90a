import rowkeeper.datasources.models
from django.db import migrations, models


class Migration(migrations.Migration):
    """Every column that exists so far counts as declared by an administrator."""

    dependencies = [
        ("rowkeeper_datasources", "0005_whole_rows"),
    ]

    operations = [
        migrations.AddField(
            model_name="datasource",
            name="written_columns",
            field=models.JSONField(
                blank=True, default=list, validators=[rowkeeper.datasources.models.check_columns]
            ),
        ),
    ]
