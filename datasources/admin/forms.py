"""The admin's forms: a data source, an entry, and who has permissions on a data source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError

from .. import store
from ..definition import changes_login, declared_of, login_of, problem_with_indexed
from ..indexes.marks import problem_with_marks
from ..models import DataSource
from ..values.validation import MAX_INTEGER, MIN_INTEGER, printable, problem_with_row
from .confirmations import NOTHING_SAVED, Question, column_lines, definition_lines
from .fields import ColumnsField, DefinitionField, JsonField
from .form_conflicts import MESSAGE, changed_by_both

if TYPE_CHECKING:
    _SourceForm = forms.ModelForm[DataSource]
else:
    _SourceForm = forms.ModelForm


# The fields of a data source that can be edited.
FIELDS = ["name", "type", "app", "columns", "indexed_columns", "definition"]
# The additional field of the form, which the model's form does not edit directly.
WRITTEN = "written_columns"


class DataSourceForm(_SourceForm):
    """A data source, without its rules, which `rules.admin.forms` adds.

    The form has the values that it was opened with, so that only the user's changes are saved: a
    column that a program has added in the meantime is kept.
    """

    columns = ColumnsField(
        required=False,
        help_text=(
            "One name per line, in the order in which tables show them. Entries can add new "
            "columns."
        ),
    )
    written_columns = ColumnsField(
        required=False,
        rows=4,
        label="Columns added by writers",
        help_text="One name per line: columns that entries added and that nobody has declared. "
        "To declare a column, move its name to the columns above. A name with dots "
        "refers to a path until it is declared, and to that column afterwards.",
    )
    indexed_columns = ColumnsField(
        required=False,
        rows=4,
        help_text="One name per line: columns that queries often sort by, compare or search. "
        "Each index makes writes slower. The indexes are built in the background.",
    )
    definition = DefinitionField(
        required=False,
        rows=6,
        help_text='People can sign in with {"login": {"emailColumn": "Email", '
        '"passwordColumn": "Password"}}.',
    )

    class Meta:
        model = DataSource
        fields = FIELDS
        help_texts = {"type": "Any word, such as “people”. The API can list data sources by type."}

    # Set by the admin, on a subclass for each request.
    may_set_login: ClassVar[bool] = False
    refused: ClassVar[Sequence[tuple[str | None, str]]] = ()
    # The question to confirm before this is saved.
    question: Question | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["columns"] = self.instance.declared_columns
        self.initial[WRITTEN] = self.instance.written_columns
        for name in (*FIELDS, WRITTEN):
            if name in self.fields:
                opened = f"initial-{name}" in self.data or not self.is_bound
                self.fields[name].show_hidden_initial = opened

    def clean(self) -> dict[str, Any]:
        """Check fields that are valid by themselves against each other and the stored state."""
        super().clean()
        self._keep_what_was_not_changed()
        self._check_login()
        self._check_indexed()
        self._confirm_columns_and_login()
        for field, message in self.refused:
            self.add_error(field if field in self.fields else None, message)
        return self.cleaned_data

    def _keep_what_was_not_changed(self) -> None:
        if self.instance.pk is None:
            return
        stored = {name: getattr(self.instance, name) for name in FIELDS}
        stored["columns"] = self.instance.declared_columns
        for name in list(changed_by_both(self, stored)):
            self.add_error(name, MESSAGE)
        for name in FIELDS:
            if name == "columns" or name not in self.cleaned_data:
                continue
            if name not in self.changed_data:
                self.cleaned_data[name] = getattr(self.instance, name)
        if "columns" in self.cleaned_data:
            self._join_columns()

    def _join_columns(self) -> None:
        """Combine the declared columns and the columns added by writers into one list."""
        stored = self.instance.columns
        declared = self._names_of("columns", self.instance.declared_columns)
        made = self._names_of(WRITTEN, self.instance.written_columns)
        for name in made:
            if name not in stored:
                self.add_error(WRITTEN, f"`{printable(name)}` is not one of the columns")
        made = [name for name in made if name not in declared]
        self.cleaned_data["columns"] = [*declared, *made]
        self.cleaned_data[WRITTEN] = made
        self.instance.written_columns = made

    def _names_of(self, field: str, stored: Sequence[str]) -> list[str]:
        """Return the typed names of a field, and names added to the columns since it was opened.

        If the field was not changed, return the stored names.
        """
        absent = self.add_prefix(field) not in self.data
        if absent or field not in self.cleaned_data or field not in self.changed_data:
            return list(stored)
        typed: list[str] = self.cleaned_data[field]
        if not self.fields[field].show_hidden_initial:
            return typed
        opened: set[str] = set()
        for name in ("columns", WRITTEN):
            if name in self.fields:
                opened.update(self.fields[name].to_python(self.data.get(f"initial-{name}")) or ())
        return [*typed, *(name for name in stored if name not in opened and name not in typed)]

    def _confirm_columns_and_login(self) -> None:
        """Ask before removing columns that entries still have, and before changing the sign-in."""
        if self.instance.pk is None or self.errors:
            return
        columns = self._column_lines()
        definition: list[str] = []
        if "definition" in self.cleaned_data:
            definition = definition_lines(
                self.instance, self.cleaned_data["definition"], self.cleaned_data.get("columns")
            )
        # The state from which the lines were made, and what will be saved.
        change = [
            self.instance.pk,
            [self.instance.columns, self.instance.definition],
            [self.cleaned_data.get("columns"), self.cleaned_data.get("definition")],
        ]
        question = Question.of([*columns, *definition], change)
        if question.is_answered(self.data):
            return
        self.question = question
        for field, lines in (("columns", columns), ("definition", definition)):
            if lines:
                self.add_error(field, NOTHING_SAVED)

    def _column_lines(self) -> list[str]:
        stored = self.instance.columns
        typed = self.cleaned_data.get("columns", stored)
        login = login_of(self.cleaned_data.get("definition", self.instance.definition))
        # Saving restores the columns of a sign-in; nobody sees secret ones.
        kept = {*typed, *self.instance.secret_columns}
        if login is not None:
            kept |= {login.email_column, login.password_column}
        dropped = [name for name in stored if name not in kept]
        if not dropped:
            return []
        known = set(stored)
        held = store.column_counts(self.instance.pk, dropped)
        return column_lines(held, [name for name in typed if name not in known])

    def declared_columns(self) -> list[str]:
        """Return the columns that will count as declared after this form is saved."""
        columns: list[str] = self.cleaned_data.get("columns", self.instance.columns)
        return declared_of(columns, self.instance.written_columns)

    def _check_login(self) -> None:
        if self.may_set_login or "definition" not in self.cleaned_data:
            return
        if changes_login(self.instance.definition, self.cleaned_data["definition"]):
            self.add_error(
                "definition",
                "only users with the site-wide permission `set_login_datasource` can change "
                "`login`",
            )

    def _check_indexed(self) -> None:
        indexed = self.cleaned_data.get("indexed_columns")
        if indexed is None or "columns" not in self.cleaned_data:
            return
        login = login_of(self.cleaned_data.get("definition"))
        secret = [*self.instance.secret_columns, *([login.password_column] if login else [])]
        columns = [*self.cleaned_data["columns"], *([login.email_column] if login else [])]
        problem = problem_with_indexed(indexed, [*columns, *secret], secret)
        before = self.instance.indexed_columns
        problem = problem or problem_with_marks(self.instance.pk, before, indexed)
        if problem:
            self.add_error("indexed_columns", problem)


class EntryForm(forms.Form):
    """One row as JSON."""

    row = JsonField(rows=18, label="Row")
    order = forms.IntegerField(
        required=False,
        initial=0,
        min_value=MIN_INTEGER,
        max_value=MAX_INTEGER,
        help_text="A number to sort by. The default is 0.",
    )
    # The question to confirm before this is saved.
    question: Question | None = None
    # The time at which the entry had last been written when the form was opened.
    opened = forms.CharField(required=False, widget=forms.HiddenInput)

    def clean_row(self) -> Any:
        """Return the row. Raises `ValidationError` with the place of an invalid value."""
        row = self.cleaned_data["row"]
        problem = problem_with_row(row)
        if problem:
            raise ValidationError(problem)
        return row


class PersonForm(forms.Form):
    """The user whose permissions on a data source are shown."""

    user = forms.CharField(max_length=254, label="User name")


class RightsForm(forms.Form):
    """The permissions of one user on one data source, among those of the user who gives them."""

    rights = forms.MultipleChoiceField(
        required=False, widget=forms.CheckboxSelectMultiple, label="Permissions"
    )

    def __init__(self, *args: Any, choices: Sequence[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["rights"]
        assert isinstance(field, forms.MultipleChoiceField)
        field.choices = list(choices)
