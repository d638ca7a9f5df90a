"""The base of all management commands: they can write to any stream, in any encoding."""

from __future__ import annotations

import codecs
import io
from typing import Any

from django.core.management.base import BaseCommand

# The name of an error handler that writes a character as JSON escapes.
AS_JSON = "rowkeeper-json"


class SiteCommand(BaseCommand):
    """A command that writes `?` for each character that its output stream cannot encode."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run the command. Output that is redirected to a file can have any encoding."""
        stream: Any = options.get("stdout") or self.stdout
        out = getattr(stream, "_out", stream)
        if isinstance(out, io.TextIOWrapper) and out.errors == "strict":
            out.reconfigure(errors="replace")
        return super().execute(*args, **options)

    def write_json(self, text: str) -> None:
        """Write JSON, with escapes for characters that the stream cannot encode."""
        out: Any = getattr(self.stdout, "_out", self.stdout)
        encoding = getattr(out, "encoding", None) or "utf-8"
        self.stdout.write(text.encode(encoding, AS_JSON).decode(encoding), ending="")


def _as_json(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)), error.end


codecs.register_error(AS_JSON, _as_json)
