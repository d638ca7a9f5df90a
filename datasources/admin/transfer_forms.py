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
    ("append", "Add: every row becomes a new entry"),
    ("update", "Update: the entry with the row's key is changed; a row without one is added"),
    ("replace", "Replace everything: what the file does not have is deleted"),
]
DELIMITERS = [("", "as the file has it"), (",", "comma"), (";", "semicolon"), ("\t", "tab")]
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
        help_text="By what a row finds its entry, for an update; for a replacement, entries that "
        "are found keep their id and what is secret. An update changes the columns that the file "
        "has; an empty cell takes the value away.",
    )
    recognise = forms.BooleanField(
        label="Recognise numbers, true and false, null, lists and objects",
        required=False,
        initial=True,
        help_text="Else every cell of a CSV file is text.",
    )
    text_columns = ColumnsField(
        label="Columns that are text",
        required=False,
        help_text="One name a line: postcodes and numbers of parts look like numbers, and are not.",
    )
    delimiter = forms.ChoiceField(label="Delimiter", choices=DELIMITERS, required=False)

    def __init__(self, source: Source, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = [name for name in source.columns if name not in source.secret]
        key, text = self.fields["key"], self.fields["text_columns"]
        assert isinstance(key, forms.ChoiceField)
        key.choices = [("", f"{ID}, the column of ids that an export can have")] + [
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
            raise forms.ValidationError(f"the file has {file.size} bytes; at most {most} allowed")
        return file

    def job_fields(self) -> dict[str, Any]:
        """Return what to do with the file, in the form that is stored with it."""
        cleaned = self.cleaned_data
        key = cleaned["key"] or None
        reading = Reading(
            delimiter=cleaned["delimiter"] or None,
            recognise=cleaned["recognise"],
            text_columns=frozenset(cleaned["text_columns"]),
        )
        return job_fields(cleaned["mode"], None if cleaned["mode"] == "append" else key, reading)


class ExportForm(forms.Form):
    """The format of the file, and whether it has ids."""

    format = forms.ChoiceField(choices=FORMATS, initial="csv", widget=forms.RadioSelect)
    ids = forms.BooleanField(
        label="With the ids of entries",
        required=False,
        initial=True,
        help_text=code_spans(f"In a column `{ID}`, by which an import finds the entries again."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not is_installed():
            form = self.fields["format"]
            assert isinstance(form, forms.ChoiceField)
            form.choices = FORMATS[:1]
            form.help_text = code_spans("XLSX needs openpyxl: `pip install rowkeeper[xlsx]`.")
