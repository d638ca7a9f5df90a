"""The writers of scripts: a script's look-ups have the permissions of its writer only.

The writer of a text is stored for each data source, even after the text is gone from its rules. A
text that comes back (by a revert, an import, or because somebody pastes it) keeps its writer.
Nobody therefore lends permissions to another person's script without reading it: taking a script
over is a separate action. If the writer is unknown, the script cannot make look-ups.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

from ..engine.problems import Problem
from ..models import ScriptWriter

# {script text: id of the Django user who wrote it}; None if unknown.
Writers = Mapping[str, int | None]


def digest(script: str) -> str:
    """The key of a script's text: its SHA-256 in hexadecimal digits."""
    return sha256(script.encode("utf-8", "surrogatepass")).hexdigest()


def scripts_of(rules: Sequence[Any]) -> list[str]:
    """The texts of the scripts in a list of rules, without duplicates."""
    found = (rule.get("script") for rule in rules if isinstance(rule, dict))
    return list(dict.fromkeys(text for text in found if isinstance(text, str)))


def writers_of(
    data_source_id: int,
    rules: Sequence[Any],
    current: Writers,
    author: Any,
    take_over: Collection[str] = (),
    by: Any = None,
) -> dict[str, int | None]:
    """The writer of each script once `rules` are saved, as `{script text: user id or None}`.

    `current`: the writers of the scripts in force. `author`: the Django user who typed the scripts
    that are new to the site, or None if unknown. `take_over`: the texts whose writer becomes the
    user `by`.
    """
    found: dict[str, int | None] = {}
    unsettled = []
    for text in scripts_of(rules):
        if text in take_over:
            found[text] = None if by is None else by.pk
        elif text in current:
            found[text] = current[text]
        else:
            unsettled.append(text)
    return found | _known(data_source_id, unsettled, None if author is None else author.pk)


def _known(data_source_id: int, texts: Sequence[str], author: int | None) -> dict[str, int | None]:
    """The writers of texts that are not in force.

    A text that another data source knows gets no writer, unless `author` wrote it there: the
    original writer did not put it here, and the person who copied it may never have read it.
    """
    by_digest = {digest(text): text for text in texts}
    here: dict[str, int | None] = {}
    elsewhere: dict[str, set[int | None]] = {}
    rows = ScriptWriter.objects.filter(digest__in=by_digest)
    for key, source_id, writer in rows.values_list("digest", "data_source_id", "writer_id"):
        if source_id == data_source_id:
            here[key] = writer
        else:
            elsewhere.setdefault(key, set()).add(writer)
    found: dict[str, int | None] = {}
    for key, text in by_digest.items():
        if key in here:
            found[text] = here[key]
        else:
            is_own = key not in elsewhere or author in elsewhere[key]
            found[text] = author if is_own else None
    return found


def remember(data_source_id: int, writers: Writers) -> None:
    """Store the writers of these texts, also for the time when no rule has them any more."""
    if not writers:
        return
    ScriptWriter.objects.bulk_create(
        [
            ScriptWriter(data_source_id=data_source_id, digest=digest(text), writer_id=writer)
            for text, writer in writers.items()
        ],
        update_conflicts=True,
        unique_fields=["data_source", "digest"],
        update_fields=["writer"],
    )


def without_writer(rules: Sequence[Any], writers: Writers) -> list[Problem]:
    """A problem for each script whose look-ups fail because its writer is unknown."""
    return [
        Problem(position, "script", _UNKNOWN, "script-writer-unknown", "warning")
        for position, text in _positions(rules)
        if "DataSources" in text and writers.get(text) is None
    ]


_UNKNOWN = (
    "the writer of this script is unknown, so its look-ups are rejected; read the script, and "
    "take it over on the page `Scripts` of the data source or with `--take-over-scripts`"
)


def _positions(rules: Sequence[Any]) -> Iterator[tuple[int, str]]:
    for position, rule in enumerate(rules, 1):
        if isinstance(rule, dict) and isinstance(rule.get("script"), str):
            yield position, rule["script"]


def taken_over(rules: Sequence[Any], texts: Collection[str]) -> str:
    """A line for the history about scripts that were taken over; empty if there are none."""
    positions = [str(position) for position, text in _positions(rules) if text in texts]
    if not positions:
        return ""
    rule = "rule" if len(positions) == 1 else "rules"
    return f"took over the script of {rule} {', '.join(positions)}"
