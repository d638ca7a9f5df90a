"""The admin's forms for import and export."""

from __future__ import annotations

from typing import Any

from django import forms

from ..catalog.registry import Source
from ..conf import setting
from ..transfer.cells import ID
from ..transfer.table import Reading
from ..transfer.uploads import job_fields
from ..transfer.xlsx.file import is_installed
from .fields import ColumnsField, code_area
from .markup import code_spans

MODES = [
    ("append", "Append: every row becomes a new entry"),
    (
        "update",
        "Update: a row changes the entry with the same key; a row without such an entry is added",
    ),
    ("replace", "Replace everything: entries that are not in the file are deleted"),
]
DELIMITERS = [("", "detect from the file"), (",", "comma"), (";", "semicolon"), ("\t", "tab")]
FORMATS = [("csv", "CSV"), ("xlsx", "XLSX")]
_MB = 1_000_000


class ImportForm(forms.Form):
    """A file, and what to do with its rows."""

    file = forms.FileField(
        label="File",
        max_length=255,
        widget=forms.FileInput({"accept": ".csv,.tsv,.txt,.xlsx"}),
    )
    mode = forms.ChoiceField(
        label="Rows", choices=MODES, initial="append", widget=forms.RadioSelect
    )
    key = forms.ChoiceField(
        label="Key",
        required=False,
        help_text="The column by which a row finds its entry. An update changes the columns "
        "that are in the file; an empty cell removes the value. In a replacement, "
        "entries that are found keep their ID and their secret columns.",
    )
    recognize = forms.BooleanField(
        label="Recognize numbers, true and false, null, lists and objects",
        required=False,
        initial=True,
        help_text="Otherwise, every cell of a CSV file is text.",
    )
    text_columns = ColumnsField(
        label="Text columns",
        required=False,
        help_text=(
            "One name per line: columns whose values are always text, such as postal codes and "
            "part numbers."
        ),
    )
    delimiter = forms.ChoiceField(label="Delimiter", choices=DELIMITERS, required=False)

    def __init__(self, source: Source, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = [name for name in source.columns if name not in source.secret]
        key, text = self.fields["key"], self.fields["text_columns"]
        assert isinstance(key, forms.ChoiceField)
        key.choices = [("", f"{ID}, the column of IDs that an export can include")] + [
            (name, name) for name in names
        ]
        text.widget = code_area(3)
        kinds = "CSV in UTF-8, or XLSX" if is_installed() else "CSV in UTF-8"
        self.fields["file"].help_text = (
            f"{kinds}; at most {setting('MAX_IMPORT_FILE') / _MB:g} MB. The first line names the "
            "columns."
        )

    def clean_file(self) -> Any:
        """Check the size of the file before it is stored."""
        file = self.cleaned_data["file"]
        if file.size > setting("MAX_IMPORT_FILE"):
            most = f"{setting('MAX_IMPORT_FILE') / _MB:g} MB"
            raise forms.ValidationError(
                f"the file has {file.size} bytes; at most {most} are allowed"
            )
        return file

    def job_fields(self) -> dict[str, Any]:
        """Return what to do with the file, in the form that is stored with it."""
        cleaned = self.cleaned_data
        key = cleaned["key"] or None
        reading = Reading(
            delimiter=cleaned["delimiter"] or None,
            recognize=cleaned["recognize"],
            text_columns=frozenset(cleaned["text_columns"]),
        )
        return job_fields(cleaned["mode"], None if cleaned["mode"] == "append" else key, reading)


class ExportForm(forms.Form):
    """The format of the file, and whether it has ids."""

    format = forms.ChoiceField(choices=FORMATS, initial="csv", widget=forms.RadioSelect)
    ids = forms.BooleanField(
        label="Include the IDs of entries",
        required=False,
        initial=True,
        help_text=code_spans(f"In the column `{ID}`. An import can find the entries by it."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not is_installed():
            form = self.fields["format"]
            assert isinstance(form, forms.ChoiceField)
            form.choices = FORMATS[:1]
            form.help_text = code_spans("XLSX needs openpyxl: `pip install rowkeeper[xlsx]`.")
