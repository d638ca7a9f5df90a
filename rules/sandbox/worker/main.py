"""The main loop of a worker: report its walls, then run scripts, each with a fresh state.

It receives a job, sends look-ups and receives their results, and sends a verdict. If a limit is
broken, it sends a last message and ends the process, which no script can catch.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
import unicodedata  # noqa: F401 (the parser imports it where a name has letters beyond ASCII)
from collections import OrderedDict
from contextlib import suppress
from types import CodeType, FunctionType
from typing import Any, Final, NoReturn

from . import confinement, policy
from .builtins import Printer, tools
from .data_sources import data_sources
from .guards import BROKEN_MEMORY, BROKEN_RECURSION, guards
from .names import PARAMETERS
from .policy import FUNCTION, ScriptRefused
from .values import decoded, encoded
from .wire import Wire

RECURSION_TO_COMPILE: Final = 1_000
RECURSION: Final = 400
MAX_CODES: Final = 64
MAX_MESSAGE: Final = 500


def main(descriptor: int, options: dict[str, Any]) -> None:
    """Build the walls, report them, and serve jobs until the web process closes the connection."""
    wire = Wire(descriptor)
    time.gmtime()  # makes the C library read the time zones now
    _go_after_others(options["nice"])
    standing = confinement.build(
        descriptor, options["memory"], options["cpu_seconds"], options["parent"]
    )
    worker = Worker(wire)
    confinement.finish()
    wire.send(json.dumps({"walls": [*standing, "audit"]}))
    worker.serve()


def _go_after_others(nice: int) -> None:
    """Give other processes priority.

    The worker leads its own session, and Linux may share the processor among sessions. Then `nice`
    only counts within the session, and a file sets the share of the session (sched(7)).
    """
    os.nice(nice)
    with suppress(OSError), open("/proc/self/autogroup", "w") as file:
        file.write(str(nice))


class Worker:
    """Runs scripts. Only compiled code, which is immutable, is kept between two runs."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        # Keyed by the text itself, so that the code that runs was compiled from exactly this text.
        self._codes: OrderedDict[str, CodeType] = OrderedDict()
        self._alarm = confinement.Alarm(self._report_end)

    def serve(self) -> NoReturn:
        """Serve jobs until the connection is closed."""
        while True:
            try:
                message = self._wire.receive()
            except (EOFError, OSError):
                os._exit(0)
            try:
                answer = self._answer(message)
            except MemoryError:
                self._end(BROKEN_MEMORY)
            try:
                self._wire.send(answer)
            except OSError:
                os._exit(0)
            del message, answer
            gc.collect()

    def _answer(self, message: bytes) -> str:
        job = decoded(message)
        try:
            code = self._code(job["source"])
        except ScriptRefused as refused:
            return _error(f"the script is not valid: {refused}")
        return Run(self._wire, self._alarm, self._end, job).verdict(code)

    def _code(self, source: str) -> CodeType:
        code = self._codes.get(source)
        if code is None:
            code = self._codes[source] = policy.compile_script(source)
            if len(self._codes) > MAX_CODES:
                self._codes.popitem(last=False)
        return code

    def _report_end(self, message: str) -> None:
        self._wire.send(_error(message, ended=True))

    def _end(self, message: str) -> NoReturn:
        """Send the reason, if there is memory for it, and end the process."""
        sys.setrecursionlimit(RECURSION_TO_COMPILE)
        try:
            self._report_end(message)
        finally:
            os._exit(1)


class Run:
    """One run of one script."""

    def __init__(self, wire: Wire, alarm: confinement.Alarm, end: Any, job: dict[str, Any]) -> None:
        self._wire, self._alarm, self._end, self._job = wire, alarm, end, job
        self._printer = Printer(job["print"])
        self._query = job["query"]
        self._rows = list(self._query) if isinstance(self._query, list) else None

    def verdict(self, code: CodeType) -> str:
        """The verdict as JSON. An exception of the script results in one, too."""
        before = None if self._job["type"] == "delete" else encoded(self._query)
        function = self._function(code)
        arguments = [self._job[name] for name in PARAMETERS]
        failed: BaseException | None = None
        sys.setrecursionlimit(RECURSION)
        self._alarm.switch(True)
        try:
            answer = self._granted(function(*arguments), before)
        except MemoryError:
            self._end(BROKEN_MEMORY)
        except RecursionError:
            self._end(BROKEN_RECURSION)
        except BaseException as error:
            failed = error
        finally:
            self._alarm.switch(False)
            sys.setrecursionlimit(RECURSION_TO_COMPILE)
        if failed is not None:
            answer = _error(_described(failed), printed=self._printer.text)
        return answer

    def _function(self, code: CodeType) -> FunctionType:
        """The script as a function with its own globals."""
        world: dict[str, Any] = fresh_world(
            self._end, self._printer, data_sources(self._look_up, self._job["rows"])
        )
        exec(code, world)  # noqa: S102 (this is the place that runs scripts)
        function = world[FUNCTION]
        assert isinstance(function, FunctionType)
        return function

    def _look_up(self, question: dict[str, Any]) -> Any:
        """Make a look-up. Raises `LookupError` with the message of the web process."""
        self._wire.send(encoded(question))
        answer = decoded(self._wire.receive())
        if "error" in answer:
            raise LookupError(answer["error"])
        return answer["found"]

    def _granted(self, returned: Any, before: str | None) -> str:
        note = _why_not(returned)
        verdict: dict[str, Any] = {"granted": not note, "printed": self._printer.text}
        if note:
            return encoded({**verdict, "note": note})
        for name in ("include", "exclude"):
            columns = dict.get(returned, name)
            verdict[name] = None if columns is None else list(columns)
        if before is not None:
            self._check_rows()
            after = encoded(self._query)
            if after != before:
                # As text inside the JSON text, so that it is encoded once and parsed separately.
                verdict["query"] = after
        return encoded(verdict)

    def _check_rows(self) -> None:
        """Check that a list still has its rows in their order, which identifies the entries."""
        if self._rows is None:
            return
        if len(self._query) != len(self._rows):
            raise ValueError(
                "rows were added to or removed from `query`; only their columns can be changed"
            )
        for place, (now, then) in enumerate(zip(self._query, self._rows, strict=True)):
            if now is not then:
                raise ValueError(f"`query[{place}]` is a different row; change its columns instead")


def fresh_world(end: Any, printer: Printer, sources: Any) -> dict[str, Any]:
    """The globals of one run. `__builtins__` is empty; without it, Python would add its own."""
    return {
        "__builtins__": {},
        **guards(end),
        **tools(printer),
        "DataSources": sources,
    }


def _why_not(returned: Any) -> str:
    """Why the returned value does not grant; empty if it does."""
    if not isinstance(returned, dict):
        return "it did not return a dict, so it does not grant the request"
    granted = dict.get(returned, "granted")
    if granted is not True:
        if granted:
            return "its `granted` is not `True`, so it does not grant the request"
        return "it did not grant the request"
    for name in ("include", "exclude"):
        # A key with `None` is an error of the script, for example an empty column of the user.
        # Without the key, `include` would open every column.
        if dict.__contains__(returned, name) and not _is_texts(dict.get(returned, name)):
            return f"its `{name}` is not a list of text, so it does not grant the request"
    return ""


def _is_texts(value: Any) -> bool:
    return type(value) in (list, tuple) and all(map(_is_storable, value))


def _is_storable(item: Any) -> bool:
    """Whether a value is text that databases can store: without NUL and lone surrogates."""
    if type(item) is not str or "\0" in item:
        return False
    return item.encode("utf-8", "replace").decode() == item


def _described(error: BaseException) -> str:
    """The exception, and the line of the script where it was raised."""
    line = None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == policy.FILE_NAME:
            line = trace.tb_lineno
        trace = trace.tb_next
    where = "" if line is None else f"line {line}: "
    return f"{where}{type(error).__name__}: {_text(error)}"


def _error(message: str, printed: str = "", ended: bool = False) -> str:
    return json.dumps({"granted": False, "error": message, "printed": printed, "ended": ended})


def _text(error: BaseException) -> str:
    try:
        return str(error)[:MAX_MESSAGE]
    except Exception:
        return "(its message cannot be shown)"
