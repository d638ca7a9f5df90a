"""Fields of the admin's forms: JSON values, and names of columns."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError

from ..errors import Malformed
from ..models import check_definition
from ..values.codec import canonical, dumps, loads
from ..values.format import pretty, read


def code_area(rows: int, area: type[forms.Textarea] = forms.Textarea) -> forms.Textarea:
    """Return a text area for code: monospace, without spell checking."""
    return area(
        {"rows": rows, "class": "rowkeeper-code", "spellcheck": "false", "autocomplete": "off"}
    )


class JsonField(forms.Field):
    """A JSON value, typed as text. Duplicate keys are refused, unlike in `forms.JSONField`."""

    # An empty list is a value, and may be an invalid one.
    empty_values = [None, ""]
    area: ClassVar[type[forms.Textarea]] = forms.Textarea

    def __init__(self, *, rows: int = 12, opened: int = 1, **kwargs: Any) -> None:
        super().__init__(widget=code_area(rows, self.area), **kwargs)
        self.opened = opened

    def prepare_value(self, value: Any) -> Any:
        """Return the text of a value; typed text is not changed."""
        return value if isinstance(value, str) or value is None else pretty(value, self.opened)

    def to_python(self, value: Any) -> Any:
        """Return the value of the text; None for an empty text. Raises `ValidationError`."""
        if value is None or not value.strip():
            return None
        try:
            return self.read(value)
        except Malformed as error:
            raise ValidationError(error.message) from None

    def read(self, text: str) -> Any:
        """Parse a text. Raises `Malformed`."""
        return read(text)

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare values with their types, unlike Python: `1` is not `true`."""
        try:
            return canonical(initial) != canonical(self.to_python(data))
        except ValidationError:
            return True


class DefinitionField(JsonField):
    """An object; an empty text means an empty object."""

    def to_python(self, value: Any) -> Any:
        """Return the typed object; `{}` for an empty text. Raises `ValidationError` for others."""
        found = super().to_python(value)
        return {} if found is None else found

    def validate(self, value: Any) -> None:
        """Check empty values, such as a list, for which the model's own check does not run."""
        super().validate(value)
        check_definition(value)


class ColumnsField(forms.Field):
    """Names of columns, one per line.

    A name that would not survive this is written as a JSON string: one that begins with `"`, that
    begins or ends with whitespace, or that has a line break.
    """

    def __init__(self, *, rows: int = 8, **kwargs: Any) -> None:
        super().__init__(widget=code_area(rows), **kwargs)

    def prepare_value(self, value: Any) -> Any:
        """Return the lines of a list; typed text is not changed."""
        return "\n".join(map(_line, value)) if isinstance(value, list) else value

    def to_python(self, value: Any) -> list[Any]:
        """Return the names; empty lines are ignored. Raises `ValidationError`."""
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
            f'line {number}: write a name that begins with `"` as a JSON string'
        ) from None
