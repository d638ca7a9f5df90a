"""The worker's life: tell which walls stand, then one script after the other, each from nothing.

A job comes in, look-ups go out and are answered, a verdict goes out. What breaks a limit goes out
as a last message, and the process ends: no script can catch that.
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
    """Build the walls, say so, and serve until the web process hangs up."""
    wire = Wire(descriptor)
    time.gmtime()  # what the C library reads of time zones it reads now
    _go_after_others(options["nice"])
    standing = confinement.build(
        descriptor, options["memory"], options["cpu_seconds"], options["parent"]
    )
    worker = Worker(wire)
    confinement.settle()
    wire.send(json.dumps({"walls": [*standing, "audit"]}))
    worker.serve()


def _go_after_others(nice: int) -> None:
    """Leave the processor to other processes where they want it.

    The worker has a session of its own, and Linux may share the processor among sessions: then
    `nice` counts within the session alone, and a file says how much the session gets (sched(7)).
    """
    os.nice(nice)
    with suppress(OSError), open("/proc/self/autogroup", "w") as file:
        file.write(str(nice))


class Worker:
    """Runs scripts. Between two of them nothing is kept but code, which is immutable."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        # By the text itself: what runs is what was compiled from exactly this.
        self._codes: OrderedDict[str, CodeType] = OrderedDict()
        self._alarm = confinement.Alarm(self._tell_end)

    def serve(self) -> NoReturn:
        """Until there is nobody left to serve."""
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
            return _error(f"the script is refused: {refused}")
        return Run(self._wire, self._alarm, self._end, job).verdict(code)

    def _code(self, source: str) -> CodeType:
        code = self._codes.get(source)
        if code is None:
            code = self._codes[source] = policy.compile_script(source)
            if len(self._codes) > MAX_CODES:
                self._codes.popitem(last=False)
        return code

    def _tell_end(self, message: str) -> None:
        self._wire.send(_error(message, ended=True))

    def _end(self, message: str) -> NoReturn:
        """Say why, if there is room to, and be gone."""
        sys.setrecursionlimit(RECURSION_TO_COMPILE)
        try:
            self._tell_end(message)
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
        """The verdict as JSON; whatever the script raises is one too."""
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
            answer = _error(_told(failed), printed=self._printer.text)
        return answer

    def _function(self, code: CodeType) -> FunctionType:
        """The script as a function, in a world of its own."""
        world: dict[str, Any] = fresh_world(
            self._end, self._printer, data_sources(self._ask, self._job["rows"])
        )
        exec(code, world)  # noqa: S102 (this is the place that runs scripts)
        function = world[FUNCTION]
        assert isinstance(function, FunctionType)
        return function

    def _ask(self, question: dict[str, Any]) -> Any:
        """Have something looked up. Raises `LookupError` with what the web process says."""
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
                # As text inside the text: it is encoded once, and read apart.
                verdict["query"] = after
        return encoded(verdict)

    def _check_rows(self) -> None:
        """Of a list neither the number nor the order may change, as entries go by their place."""
        if self._rows is None:
            return
        if len(self._query) != len(self._rows):
            raise ValueError("`query` has lost or won rows; only their columns may be changed")
        for place, (now, then) in enumerate(zip(self._query, self._rows, strict=True)):
            if now is not then:
                raise ValueError(f"`query[{place}]` is another row; change its columns instead")


def fresh_world(end: Any, printer: Printer, sources: Any) -> dict[str, Any]:
    """The globals of one run. `__builtins__` is there and empty, else Python would put its own."""
    return {
        "__builtins__": {},
        **guards(end),
        **tools(printer),
        "DataSources": sources,
    }


def _why_not(returned: Any) -> str:
    """Why what was returned grants nothing; empty if it grants."""
    if not isinstance(returned, dict):
        return "it returned no dict, so it does not grant"
    granted = dict.get(returned, "granted")
    if granted is not True:
        if granted:
            return "its `granted` is not `True`, so it does not grant"
        return "it did not grant"
    for name in ("include", "exclude"):
        # A key that is there with `None` is an error of the script, such as a column of the user
        # that is empty. Without the key, `include` opens every column.
        if dict.__contains__(returned, name) and not _is_texts(dict.get(returned, name)):
            return f"its `{name}` is no list of text, so it does not grant"
    return ""


def _is_texts(value: Any) -> bool:
    return type(value) in (list, tuple) and all(map(_is_storable, value))


def _is_storable(item: Any) -> bool:
    """Text without what no database takes: NUL, and halves of characters."""
    if type(item) is not str or "\0" in item:
        return False
    return item.encode("utf-8", "replace").decode() == item


def _told(error: BaseException) -> str:
    """What was raised, and in which line of the script."""
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
        return "(what it says cannot be told)"
