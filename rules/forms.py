"""The admin's form of a data source with its rules: one ordered list in one JSON field."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from typing import Any, ClassVar

from django import forms

from datasources.errors import Malformed
from datasources.forms import DataSourceForm, JsonField
from datasources.jsontext import dumps

from .engine.parse import PROPERTIES, Problem
from .saving import problems_with, rules_of

MAX_PROBLEMS = 20


def in_order(rules: Any) -> Any:
    """The same rules with their properties in the usual order; what is no rule stays as it is."""
    if not isinstance(rules, list):
        return rules
    return [_rule_in_order(rule) if isinstance(rule, dict) else rule for rule in rules]


def _rule_in_order(rule: dict[str, Any]) -> dict[str, Any]:
    names = [*(name for name in PROPERTIES if name in rule), *rule]
    return {name: rule[name] for name in names}


class RulesArea(forms.Textarea):
    """The text of the rules. The editor's script lays its list over it; without, it works alone."""

    class Media:
        css = {"all": ["rowkeeper/rules.css"]}
        js = [forms.Script("rowkeeper/rules/editor.js", type="module")]


class RulesField(JsonField):
    """A list of rules; no text stands for no rule."""

    area = RulesArea

    def prepare_value(self, value: Any) -> Any:
        """The text of a list of rules; what was typed stays as it was."""
        return super().prepare_value(in_order(value))

    def read(self, text: str) -> Any:
        """The list. Raises `Malformed` for what is none, such as `null`."""
        found = super().read(text)
        if not isinstance(found, list):
            raise Malformed("the rules are a list of objects: [{…}, {…}]")
        return found

    def to_python(self, value: Any) -> Any:
        """The list."""
        found = super().to_python(value)
        return [] if found is None else found

    def has_changed(self, initial: Any, data: Any) -> bool:
        """The order of properties is no difference, that of rules is."""
        return super().has_changed(initial or [], data)


class RuledDataSourceForm(DataSourceForm):
    """A data source and its rules."""

    rules = RulesField(
        required=False,
        rows=24,
        opened=2,
        label="Rules",
        help_text="A list of rules, tried from top to bottom: the first that grants is used, and "
        "where none does, access is denied. No rule at all: nobody gets in. For example, those who "
        'are signed in may read: [{"type": ["select"], "allow": "loggedIn"}]',
    )
    # What the editor offers as one types; set by the admin, on a subclass for each request.
    offers: ClassVar[dict[str, Any] | None] = None
    # The number of the rules that the form was opened with.
    opened_revision = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "rules" in self.fields and self.offers is not None:
            self.fields["rules"].widget.attrs["data-rowkeeper-rules"] = dumps(self.offers)
        if self.instance.pk is not None and "rules" in self.fields:
            self.initial["rules"] = rules_of(self.instance)
            self.initial["opened_revision"] = self.instance.revision

    def clean(self) -> dict[str, Any]:
        """Are these rules, and does nobody else's change get lost?"""
        super().clean()
        if "rules" in self.fields:
            self._check_revision()
        if "rules" in self.cleaned_data and "rules" in self.changed_data:
            columns = self.cleaned_data.get("columns", self.instance.columns)
            self.refuse_rules(
                problems_with(self.cleaned_data["rules"], columns, self.instance.secret_columns)
            )
        return self.cleaned_data

    def refuse_rules(self, problems: Iterable[Problem]) -> None:
        """Say what is wrong with the rules, each with its place."""
        for error in rule_errors(problems):
            self.add_error("rules", error)

    def _check_revision(self) -> None:
        now = self.instance.revision
        if self.instance.pk is None or self.cleaned_data.get("opened_revision") == now:
            return
        self.add_error(
            "rules",
            f"somebody else has changed the rules meanwhile (they are now at revision {now}), and "
            "nothing was saved. The table shows the rules as they are stored now, this field what "
            "you typed; to save again is to replace the stored rules with these.",
        )
        # So that whoever has read this can do it.
        sent: Any = copy(self.data)
        sent[self.add_prefix("opened_revision")] = str(now)
        self.data = sent


def rule_errors(problems: Iterable[Problem]) -> list[str]:
    """The first problems as messages, and how many more there are."""
    texts = [str(problem) for problem in problems]
    more = len(texts) - MAX_PROBLEMS
    return [*texts[:MAX_PROBLEMS], *([f"… and {more} more"] if more > 0 else [])]
