"""Run by earlier code: migrates, and makes a data source with entries and rules."""

import django
from django.apps import apps
from django.core.management import call_command

ROWS = [
    {"Name": "Ann", "Tags": [{"Color": "red"}, {"Color": "blue"}], "Since": "2020-02-29"},
    {"Name": "ÄNNE", "Tags": [], "Since": "12:30"},
    {"Name": "Ben", "Tags": [[1, 2]], "Since": None},
]
RULES = [{"type": ["select"], "allow": "all"}, {"type": ["insert"], "allow": "loggedIn"}]


def main() -> None:
    django.setup()
    call_command("migrate", verbosity=0)
    # By their labels: the import names have changed since.
    App = apps.get_model("rowkeeper_accounts", "App")
    DataSource = apps.get_model("rowkeeper_datasources", "DataSource")
    Entry = apps.get_model("rowkeeper_datasources", "Entry")
    AccessRule = apps.get_model("rowkeeper_rules", "AccessRule")
    app = App.objects.create(name="App")
    source = DataSource.objects.create(name="Upgraded", columns=["Name", "Tags", "Since"], app=app)
    for row in ROWS:
        Entry.objects.create(data_source=source, data=row)
    for position, rule in enumerate(RULES, 1):
        AccessRule.objects.create(data_source=source, position=position, **rule)


if __name__ == "__main__":
    main()
