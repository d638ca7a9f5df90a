"""Texts of the admin: nothing changes in the database."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('rowkeeper_accounts', '0003_texts'),
        ('rowkeeper_datasources', '0008_source_type'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='datasource',
            options={'ordering': ['name'], 'permissions': [('change_rules_datasource', 'Can change the access rules of a data source'), ('write_scripts_datasource', 'Can put scripts into the access rules of a data source'), ('simulate_datasource', 'Can try out the access rules of a data source'), ('view_log_datasource', 'Can see the decision log of a data source'), ('share_datasource', 'Can give others permissions on a data source'), ('set_login_datasource', 'Can choose the data sources that people sign in against')], 'verbose_name': 'data source'},
        ),
        migrations.AlterField(
            model_name='datasource',
            name='app',
            field=models.ForeignKey(blank=True, help_text='The app of the people who sign in against this data source.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='data_sources', to='rowkeeper_accounts.app'),
        ),
    ]
