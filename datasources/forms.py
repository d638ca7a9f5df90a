"""The admin's forms: a data source, an entry, and who has rights on a data source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError

from .definition import changes_login, declared_of, login_of, problem_with_indexed
from .errors import Malformed
from .jsontext import canonical, dumps, loads
from .models import DataSource, check_definition
from .pretty import pretty, read
from .values import MAX_INTEGER, MIN_INTEGER, problem_with_row, shown

if TYPE_CHECKING:
    _SourceForm = forms.ModelForm[DataSource]
else:
    _SourceForm = forms.ModelForm


# Of a data source, what can be edited.
FIELDS = ["name", "type", "app", "columns", "indexed_columns", "definition"]
# What the form has beside the fields of the model that it edits directly.
WRITTEN = "written_columns"


def code_area(rows: int, area: type[forms.Textarea] = forms.Textarea) -> forms.Textarea:
    """A text area for code: monospace, no spelling marks."""
    return area(
        {"rows": rows, "class": "rowkeeper-code", "spellcheck": "false", "autocomplete": "off"}
    )


class JsonField(forms.Field):
    """A JSON value, typed as text. Duplicate keys are refused, which `forms.JSONField` lets by."""

    # An empty list is something, and may be the wrong thing.
    empty_values = [None, ""]
    area: ClassVar[type[forms.Textarea]] = forms.Textarea

    def __init__(self, *, rows: int = 12, opened: int = 1, **kwargs: Any) -> None:
        super().__init__(widget=code_area(rows, self.area), **kwargs)
        self.opened = opened

    def prepare_value(self, value: Any) -> Any:
        """The text of a value; what was typed stays as it was."""
        return value if isinstance(value, str) or value is None else pretty(value, self.opened)

    def to_python(self, value: Any) -> Any:
        """The value of the text; None for no text."""
        if value is None or not value.strip():
            return None
        try:
            return self.read(value)
        except Malformed as error:
            raise ValidationError(error.message) from None

    def read(self, text: str) -> Any:
        """How a text is read. Raises `Malformed`."""
        return read(text)

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compared with their types, as Python does not: `1` is not `true`."""
        try:
            return canonical(initial) != canonical(self.to_python(data))
        except ValidationError:
            return True


class DefinitionField(JsonField):
    """An object; no text stands for an empty one."""

    def to_python(self, value: Any) -> Any:
        """See above."""
        found = super().to_python(value)
        return {} if found is None else found

    def validate(self, value: Any) -> None:
        """The model's own check passes over what is empty, such as a list."""
        super().validate(value)
        check_definition(value)


class ColumnsField(forms.Field):
    """Names of columns, one a line.

    A name that would not survive that is written as a JSON string: one that begins with `"`,
    begins or ends with a blank, or holds a line end.
    """

    def __init__(self, *, rows: int = 8, **kwargs: Any) -> None:
        super().__init__(widget=code_area(rows), **kwargs)

    def prepare_value(self, value: Any) -> Any:
        """The lines of a list; what was typed stays as it was."""
        return "\n".join(map(_line, value)) if isinstance(value, list) else value

    def to_python(self, value: Any) -> list[Any]:
        """The names; empty lines do not count."""
        text = (value or "").replace("\r\n", "\n").replace("\r", "\n")
        return [
            _name(line.strip(), number)
            for number, line in enumerate(text.split("\n"), 1)
            if line.strip()
        ]


def _line(name: str) -> str:
    plain = name == name.strip() and name[:1] != '"' and "\n" not in name and "\r" not in name
    return name if plain else dumps(name)


def _name(line: str, number: int) -> Any:
    if not line.startswith('"'):
        return line
    try:
        return loads(line)
    except Malformed:
        raise ValidationError(
            f'line {number}: a name that begins with `"` is written as a JSON string'
        ) from None


class DataSourceForm(_SourceForm):
    """A data source, without its rules, which `rules.forms` adds.

    The form carries what it was opened with, so that only what somebody changed is saved: a
    column that a program added meanwhile stays.
    """

    columns = ColumnsField(
        required=False,
        help_text="One name a line, in the order of tables. Entries can bring new ones.",
    )
    written_columns = ColumnsField(
        required=False,
        rows=4,
        label="Columns made by writers",
        help_text="One name a line: columns that entries brought and nobody has declared. Move a "
        "name to the columns above to declare it. A name with dots means a path until it is "
        "declared, and that column afterwards.",
    )
    indexed_columns = ColumnsField(
        required=False,
        rows=4,
        help_text="One name a line: columns that are ordered by, compared and searched often. "
        "Each makes writing slower. The indexes are made in the background.",
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
        help_texts = {
            "type": "A word of your own, such as “people”; the API can list data sources by it."
        }

    # Set by the admin, on a subclass for each request.
    may_set_login: ClassVar[bool] = False
    refused: ClassVar[Sequence[tuple[str | None, str]]] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["columns"] = self.instance.declared_columns
        self.initial[WRITTEN] = self.instance.written_columns
        for name in (*FIELDS, WRITTEN):
            if name in self.fields:
                opened = f"initial-{name}" in self.data or not self.is_bound
                self.fields[name].show_hidden_initial = opened

    def clean(self) -> dict[str, Any]:
        """What is right by itself: is it right together, and as it is stored now?"""
        super().clean()
        self._keep_what_was_not_changed()
        self._check_login()
        self._check_indexed()
        for field, message in self.refused:
            self.add_error(field if field in self.fields else None, message)
        return self.cleaned_data

    def _keep_what_was_not_changed(self) -> None:
        if self.instance.pk is None:
            return
        for name in FIELDS:
            if name == "columns" or name not in self.cleaned_data:
                continue
            if name not in self.changed_data:
                self.cleaned_data[name] = getattr(self.instance, name)
        if "columns" in self.cleaned_data:
            self._join_columns()

    def _join_columns(self) -> None:
        """Make one list of the declared columns and of those that writers made."""
        stored = self.instance.columns
        declared = self._names_of("columns", self.instance.declared_columns)
        made = self._names_of(WRITTEN, self.instance.written_columns)
        for name in made:
            if name not in stored:
                self.add_error(WRITTEN, f"`{shown(name)}` is not one of the columns")
        made = [name for name in made if name not in declared]
        self.cleaned_data["columns"] = [*declared, *made]
        self.cleaned_data[WRITTEN] = made
        self.instance.written_columns = made

    def _names_of(self, field: str, stored: Sequence[str]) -> list[str]:
        """What was typed into a field, and what was added to the column list since the form was
        opened; what is stored where the field was not changed.
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

    def declared_columns(self) -> list[str]:
        """Return the columns that count as declared once this form is saved."""
        columns: list[str] = self.cleaned_data.get("columns", self.instance.columns)
        return declared_of(columns, self.instance.written_columns)

    def _check_login(self) -> None:
        if self.may_set_login or "definition" not in self.cleaned_data:
            return
        if changes_login(self.instance.definition, self.cleaned_data["definition"]):
            self.add_error(
                "definition",
                "`login` can be changed by those alone who hold the site-wide permission "
                "`set_login_datasource`",
            )

    def _check_indexed(self) -> None:
        indexed = self.cleaned_data.get("indexed_columns")
        if indexed is None or "columns" not in self.cleaned_data:
            return
        login = login_of(self.cleaned_data.get("definition"))
        secret = [*self.instance.secret_columns, *([login.password_column] if login else [])]
        columns = [*self.cleaned_data["columns"], *([login.email_column] if login else [])]
        problem = problem_with_indexed(indexed, [*columns, *secret], secret)
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
        help_text="A number to sort by; entries have 0 unless told otherwise.",
    )
    # When the entry was last written before the form was opened.
    opened = forms.CharField(required=False, widget=forms.HiddenInput)

    def clean_row(self) -> Any:
        """The row. Raises `ValidationError` with the place of what cannot be stored."""
        row = self.cleaned_data["row"]
        problem = problem_with_row(row)
        if problem:
            raise ValidationError(problem)
        return row


class PersonForm(forms.Form):
    """Whose rights on a data source are to be looked at."""

    user = forms.CharField(max_length=254, label="User name")


class RightsForm(forms.Form):
    """The rights of one user on one data source: of those that the one who gives them has."""

    rights = forms.MultipleChoiceField(
        required=False, widget=forms.CheckboxSelectMultiple, label="Rights"
    )

    def __init__(self, *args: Any, choices: Sequence[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["rights"]
        assert isinstance(field, forms.MultipleChoiceField)
        field.choices = list(choices)
