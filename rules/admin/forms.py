"""The admin's form of a data source with its rules: one ordered list in one JSON field."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from django import forms

from rowkeeper.accounts.errors import PermissionMissing
from rowkeeper.datasources.admin.fields import JsonField
from rowkeeper.datasources.admin.forms import DataSourceForm
from rowkeeper.datasources.admin.markup import code_spans
from rowkeeper.datasources.errors import Malformed
from rowkeeper.datasources.values.codec import canonical, dumps

from ..describe.escalation import digest, review
from ..describe.history import Conflict
from ..engine.parse import Problem
from ..models import Revision
from ..repository.canonical import in_order
from ..repository.revisions import MAX_NOTE
from ..repository.rules import problems_for, rules_of

MAX_PROBLEMS = 20


class RulesArea(forms.Textarea):
    """The text of the rules. The editor's script shows a list over it; it also works without."""

    class Media:
        css = {"all": ["rowkeeper/rules.css"]}
        js = [forms.Script("rowkeeper/rules/editor.js", type="module")]


class RulesField(JsonField):
    """A list of rules; empty text means no rules."""

    area = RulesArea

    def prepare_value(self, value: Any) -> Any:
        """The text of a list of rules. Text that was typed is unchanged."""
        return super().prepare_value(in_order(value))

    def read(self, text: str) -> Any:
        """Parse the list. Raises `Malformed` for anything else, such as `null`."""
        found = super().read(text)
        if not isinstance(found, list):
            raise Malformed("the rules must be a list of objects: [{…}, {…}]")
        return found

    def to_python(self, value: Any) -> Any:
        """The list of rules; empty for empty text."""
        found = super().to_python(value)
        return [] if found is None else found

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare regardless of the order of properties, but not of the order of rules."""
        return super().has_changed(initial or [], data)


class RuledDataSourceForm(DataSourceForm):
    """A data source and its rules."""

    rules = RulesField(
        required=False,
        rows=24,
        opened=2,
        label="Rules",
        help_text="A list of rules, evaluated from top to bottom. The first rule that grants a "
        "request is used. If no rule grants it, access is denied. For example, this "
        'rule lets signed-in users read: [{"type": ["select"], "allow": "loggedIn"}]',
    )
    # The editor's suggestions. The admin sets them on a subclass for each request.
    suggestions: ClassVar[dict[str, Any] | None] = None
    # The user who saves; set together with `suggestions`.
    user: ClassVar[Any] = None
    note = forms.CharField(
        required=False,
        max_length=MAX_NOTE,
        help_text="Why you change the rules. The note is shown in their history. Optional.",
        widget=forms.TextInput({"class": "vTextField"}),
    )
    rename_in_rules = forms.BooleanField(
        required=False,
        label="Change the name in rules",
        help_text="Rules that test the name of this data source as `Source` are changed "
        "along with the name.",
    )
    # The number of the revision that the form was opened with.
    opened_revision = forms.IntegerField(required=False, widget=forms.HiddenInput)

    # What has to be reviewed and confirmed before a save. A confirmation is for a single change
    # only.
    conflict: Conflict | None = None
    widens: Sequence[str] = ()
    digest = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "rules" in self.fields and self.suggestions is not None:
            self.fields["rules"].widget.attrs["data-rowkeeper-rules"] = dumps(self.suggestions)
        if self.instance.pk is not None and "rules" in self.fields:
            self.initial["rules"] = rules_of(self.instance)
            self.initial["opened_revision"] = self.instance.revision

    def clean(self) -> dict[str, Any]:
        """Validate the rules, detect concurrent changes, and have escalations confirmed."""
        super().clean()
        if "rules" in self.fields:
            self._check_revision()
        if "rules" in self.cleaned_data and "rules" in self.changed_data:
            columns = self.declared_columns()
            rules = self.cleaned_data["rules"]
            self._refuse_invalid(rules, columns)
            if self.instance.pk is not None and not self.errors.get("rules"):
                self._ask_for_confirmation(rules, columns)
        return self.cleaned_data

    def _refuse_invalid(self, rules: list[Any], columns: Sequence[str]) -> None:
        # The user who creates a data source gets every permission on it.
        user = None if self.instance.pk is None else self.user
        try:
            self.refuse_rules(problems_for(user, self.instance, rules, columns=columns))
        except PermissionMissing as error:
            self.add_error("rules", error.message)

    def refuse_rules(self, problems: Iterable[Problem]) -> None:
        """Add the problems of the rules as errors, each with its place."""
        for error in rule_errors(problems):
            self.add_error("rules", error)

    def _check_revision(self) -> None:
        """Handle rules that somebody else has saved since the form was opened.

        If the rules were not edited in this form, the other person's are kept; otherwise both
        changes are shown.
        """
        opened, now = self.cleaned_data.get("opened_revision"), self.instance.revision
        if self.instance.pk is None or opened == now or "rules" not in self.cleaned_data:
            return
        kept = Revision.objects.filter(data_source=self.instance)
        base = None if opened is None else kept.filter(number=opened).first()
        typed, stored = self.cleaned_data["rules"], rules_of(self.instance)
        if base is not None and canonical(base.rules) == canonical(typed):
            self.cleaned_data["rules"] = stored
            if "rules" in self.changed_data:
                self.changed_data.remove("rules")
            return
        if self.data.get("replaces") == str(now):
            return
        self.conflict = Conflict.of(self.instance, base, typed)
        self.add_error(
            "rules",
            f"somebody else changed the rules in the meantime (they are now at revision {now}), "
            "so nothing was saved: their changes are shown at the top, and this field still "
            "has your text",
        )

    def _ask_for_confirmation(self, rules: list[Any], columns: Sequence[str]) -> None:
        """Require a confirmation of a save that lets people do more than before."""
        self.digest = digest(self.instance, rules)
        widens = review(self.instance, rules, columns)
        if widens and self.data.get("confirmed") != self.digest:
            self.widens = widens
            self.add_error(
                "rules",
                "these rules let people do more than the rules in force, so nothing was saved "
                "yet: check the new access at the top, and confirm it",
            )


def rule_errors(problems: Iterable[Problem]) -> list[str]:
    """The first problems as messages for a page, and how many others there are."""
    texts: list[str] = [code_spans(str(problem)) for problem in problems]
    more = len(texts) - MAX_PROBLEMS
    return [*texts[:MAX_PROBLEMS], *([f"… and {more} more"] if more > 0 else [])]
