"""The admin's forms: a data source, an entry, and who has rights on a data source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError

from .definition import changes_login, login_of, problem_with_indexed
from .errors import Malformed
from .jsontext import canonical, dumps, loads
from .models import DataSource, check_definition
from .pretty import pretty, read
from .values import MAX_INTEGER, MIN_INTEGER, problem_with_row

if TYPE_CHECKING:
    _SourceForm = forms.ModelForm[DataSource]
else:
    _SourceForm = forms.ModelForm


# Of a data source, what can be edited.
FIELDS = ["name", "type", "app", "columns", "indexed_columns", "definition"]


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
        help_text="One name a line, in the order of tables. Entries may bring new ones.",
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
        for name in FIELDS:
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
            if name not in self.cleaned_data:
                continue
            if name not in self.changed_data:
                self.cleaned_data[name] = getattr(self.instance, name)
            elif name == "columns" and self.fields[name].show_hidden_initial:
                self._keep_new_columns()

    def _keep_new_columns(self) -> None:
        opened = self.fields["columns"].to_python(self.data.get("initial-columns")) or ()
        typed = self.cleaned_data["columns"]
        new = [name for name in self.instance.columns if name not in {*opened, *typed}]
        self.cleaned_data["columns"] = [*typed, *new]

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
