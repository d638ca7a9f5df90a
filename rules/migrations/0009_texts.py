"""Texts of the admin: nothing changes in the database."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('rowkeeper_rules', '0008_refusals'),
    ]

    operations = [
        migrations.AlterField(
            model_name='revision',
            name='origin',
            field=models.CharField(choices=[('admin', 'the admin'), ('api', 'the API'), ('command', 'a command'), ('code', 'code or a shell'), ('rows', 'code, rule by rule'), ('found', 'found when the history began')], max_length=16),
        ),
    ]
