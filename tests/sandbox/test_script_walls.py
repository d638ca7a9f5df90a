"""The process wall alone: plain Python runs in a worker as if there were no language wall.

The worker here is started by a program of the tests' own; the one that is delivered has no switch
for it. Walls are taken down one by one, so that each is seen to hold without the others.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import pytest
from django.core.checks import WARNING

from rowkeeper.rules.sandbox import messages
from rowkeeper.rules.sandbox.checks import check_scripts, check_walls, messages_of_walls
from rowkeeper.rules.sandbox.limits import Limits
from rowkeeper.rules.sandbox.process import Breach, Gone, NotStarted, Worker, _command_line
from rowkeeper.rules.sandbox.worker import boot, confinement, seccomp
from rowkeeper.rules.sandbox.worker.names import WALLS

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has no workers")

PLAIN = """
import sys
sys.path += sys.argv[3:]
import builtins, os, MODULES
from worker import boot

def prepare():
    from worker import confinement as walls, main as worker, policy, seccomp
    fresh = worker.fresh_world
    policy.compile_script = lambda source: compile(source, "<script>", "exec")
    worker.fresh_world = lambda *a: {**fresh(*a), **globals(), "__builtins__": builtins}
    DOWN

boot.begin(prepare)
"""
MODULES = (
    "ctypes",
    "gc",
    "mmap",
    "resource",
    "signal",
    "socket",
    "subprocess",
    "threading",
    "time",
)
NO_ALARM = (
    "walls.Alarm = type('Quiet', (), "
    "{'__init__': lambda self, tell: None, 'switch': lambda self, on: None})"
)
NO_FILTER = "seccomp.build = lambda descriptor: False"
NO_LIMITS = "walls._limit = lambda name, most: True"
DOWN = {
    "all walls": "pass",
    "the filter alone": f"{NO_ALARM}; {NO_LIMITS}",
    "the alarm alone": f"{NO_FILTER}; {NO_LIMITS}",
    "the limits alone": f"{NO_ALARM}; {NO_FILTER}",
}
F, A, L = "the filter alone", "the alarm alone", "the limits alone"
LIMITS = Limits(seconds=1, memory_megabytes=256)

Run = Callable[..., "dict[str, Any] | None"]


@pytest.fixture
def plain() -> Iterator[Callable[..., Run]]:
    """Makes a worker with some walls down, which runs plain Python: None where it did not live."""
    workers: list[Worker] = []

    def start(down: str, modules: str = "sys") -> Run:
        if not seccomp.supported() and down in (F, "all walls"):
            pytest.skip("no filter of system calls here")
        program = PLAIN.replace("MODULES", modules).replace("DOWN", DOWN[down])
        worker = Worker(LIMITS, program)
        workers.append(worker)
        worker.await_walls(time.monotonic() + 20)

        def run(code: str, **values: Any) -> dict[str, Any] | None:
            body = indent(dedent(code), "    ")
            job = {
                "source": f"def script(type, user, query, entry, entries):\n{body}",
                "type": "select",
                "user": values,
                "query": {},
                "entry": None,
                "entries": None,
                "print": 1_000,
                "rows": 1_000,
            }
            deadline = time.monotonic() + LIMITS.seconds
            try:
                worker.send(json.dumps(job), deadline)
                return messages.read(worker.receive(LIMITS.output_bytes, deadline), LIMITS)
            except (Breach, Gone):
                return None

        return run

    yield start
    for worker in workers:
        worker.kill()
        worker.reap()


# Each fails or dies unless it gets its way. What the test lays before it is in `user`; and with
# which walls standing it is to be stopped.
ATTACKS: dict[str, tuple[str, list[str]]] = {
    "reads a file": ("assert open(user['PATH']).read()", [F, A, L]),
    "reads a file by os": ("assert os.read(os.open(user['PATH'], os.O_RDONLY), 100)", [A, L]),
    "reads a file by libc": (
        "assert ctypes.CDLL(None).open(user['PATH'].encode(), 0) >= 0",
        [F, L],
    ),
    "writes a file": ("open(user['FOLDER'] + '/made', 'w').write('x')", [F, A, L]),
    "writes over a file": ("assert open(user['PATH'], 'r+').write('x')", [F, A, L]),
    "lists a folder": ("assert os.listdir(user['FOLDER'])", [F, A, L]),
    "removes a file": ("os.remove(user['PATH'])", [F, A]),
    "looks at a file": ("assert os.stat(user['PATH']).st_size", [F]),
    "makes a link": ("os.symlink('/etc', user['FOLDER'] + '/made')", [F, A]),
    "reads its environment": ("assert open('/proc/self/environ').read()", [F, A, L]),
    "reads its parent's environment": (
        "assert open(f'/proc/{user[\"PARENT\"]}/environ').read()",
        [F, A, L],
    ),
    "reads its parent's memory": (
        """
        libc, held = ctypes.CDLL(None), ctypes.create_string_buffer(8)
        here = (ctypes.c_size_t * 2)(ctypes.addressof(held), 8)
        there = (ctypes.c_size_t * 2)(user['ADDRESS'], 8)
        assert libc.process_vm_readv(user['PARENT'], here, 1, there, 1, 0) > 0
        """,
        [F],
    ),
    "connects": ("socket.create_connection(('127.0.0.1', user['PORT']))", [F, A, L]),
    "has a socket": ("assert socket.socket()", [F, A, L]),
    "has a socket by libc": ("assert ctypes.CDLL(None).socket(2, 1, 0) >= 0", [F, L]),
    "has a pipe": ("assert os.pipe()", [F, L]),
    "doubles its descriptor": ("assert [os.dup(fd) for fd in range(256)]", [F, L]),
    "forks": ("os.fork()", [F, A, L]),
    "forks by libc": ("assert ctypes.CDLL(None).fork() >= 0", [F, L]),
    "starts a program": ("subprocess.run(['/bin/true'])", [F, A, L]),
    "spawns a program": ("os.posix_spawn('/bin/true', ['true'], {})", [F, A, L]),
    "becomes a program": ("os.execv('/bin/true', ['true'])", [F, A]),
    "has a shell": ("assert os.system('true') == 0", [F, A, L]),
    "starts a thread": ("threading.Thread(target=print).start()", [F, L]),
    "signals its parent": ("os.kill(user['PARENT'], 0)", [F, A]),
    "signals its parent by libc": ("assert ctypes.CDLL(None).kill(user['PARENT'], 0) == 0", [F]),
    "traces its parent": ("assert ctypes.CDLL(None).ptrace(16, user['PARENT'], 0, 0) == 0", [F]),
    "raises its limits": ("resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))", [F, L]),
    "raises its memory": ("resource.setrlimit(resource.RLIMIT_AS, (-1, -1))", [F, L]),
    "is root again": ("os.setuid(0)\nassert user['ROOT']", [F, L]),
    "has all memory": ("assert mmap.mmap(-1, 1 << 30)", [L]),
    "fills all memory": ("assert bytearray(1 << 30)", [L]),
    "runs machine code": ("assert mmap.mmap(-1, 4096, prot=7)", [F]),
    "sleeps": ("time.sleep(10)", [F, L]),
    "waits for a signal": ("signal.pause()", [F, L]),
    "imports": ("import sqlite3", [F, A, L]),
    "looks at frames": ("assert sys._getframe(1).f_globals", [A]),
    "looks at all objects": ("assert gc.get_objects()", [A]),
    "makes code": ("assert eval('1')", [A]),
    "loads a library": ("assert ctypes.CDLL('libc.so.6')", [A]),
}
MATRIX = [(name, down) for name, (_, downs) in ATTACKS.items() for down in downs]


@pytest.mark.parametrize(("name", "down"), MATRIX, ids=[f"{n} ({d})" for n, d in MATRIX])
def test_plain_python_gets_nowhere(
    name: str, down: str, plain: Callable[..., Run], laid: dict[str, Any]
) -> None:
    code = dedent(ATTACKS[name][0])
    run = plain(down, ", ".join(["sys", *(module for module in MODULES if module in code)]))
    said = run(code + "\nreturn {'granted': True}", **laid)
    assert said is None or said["granted"] is False, said


@pytest.fixture
def laid(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """A file that everybody may read and write, and a port that nobody is to connect to."""
    marker = tmp_path / "marker"
    marker.write_text("secret")
    marker.chmod(0o666)
    tmp_path.chmod(0o777)
    held = (7).to_bytes(8, "little")
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield {
            "PATH": str(marker),
            "FOLDER": str(tmp_path),
            "PARENT": os.getpid(),
            "PORT": server.getsockname()[1],
            "ROOT": os.getuid() == 0,
            "ADDRESS": id(held),
        }
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert marker.read_text() == "secret"
    assert [path.name for path in tmp_path.iterdir()] == ["marker"]


def test_what_is_no_attack_works(plain: Callable[..., Run]) -> None:
    """So that it is the walls that stop the others."""
    for down in DOWN:
        said = plain(down)("total = sum(map(len, ['ab', 'c']))\nreturn {'granted': total == 3}")
        assert said is not None and said["granted"] is True


def test_without_walls_the_attacks_work(tmp_path: Path) -> None:
    """The same code, outside: it is no attack that fails everywhere."""
    marker = tmp_path / "marker"
    marker.write_text("secret")
    world = {name: __import__(name) for name in ("os", *MODULES)}
    with socket.create_server(("127.0.0.1", 0)) as server:
        world["user"] = {
            "PATH": str(marker),
            "FOLDER": str(tmp_path),
            "PARENT": os.getpid(),
            "PORT": server.getsockname()[1],
        }
        for name in ("reads a file", "writes a file", "lists a folder", "connects", "has a pipe"):
            exec(dedent(ATTACKS[name][0]), dict(world))
        for name in ("starts a program", "signals its parent", "imports", "makes code"):
            exec(dedent(ATTACKS[name][0]), dict(world))
        assert server.accept()
    assert (tmp_path / "made").exists()


def test_the_environment_is_empty(
    plain: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROWKEEPER_MARKER", "secret")
    said = plain(L)("return {'granted': True, 'include': [*os.environ, os.getcwd()]}")
    assert said is not None and said["granted"] is True
    # Python sets the one itself where there is no locale.
    assert [name for name in said["include"] if name not in ("LC_CTYPE", "/")] == []


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for it")
def test_a_worker_as_the_system_sees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROWKEEPER_MARKER", "secret")
    opened = os.open("/", os.O_RDONLY)
    os.set_inheritable(opened, True)
    worker = Worker(LIMITS)
    try:
        worker.await_walls(time.monotonic() + 20)
        place = Path(f"/proc/{worker.pid}")
        status = dict(
            line.split(":\t", 1)
            for line in (place / "status").read_text().splitlines()
            if ":\t" in line
        )
        assert status["NoNewPrivs"] == "1"
        assert status["Threads"] == "1"
        assert (status["Seccomp"] == "2") is seccomp.supported()
        assert os.getsid(worker.pid) == worker.pid == os.getpgid(worker.pid)
        assert os.getpriority(os.PRIO_PROCESS, worker.pid) == LIMITS.nice
        if os.getuid() == 0:
            if (place / "autogroup").exists():
                # Its session gets no more of the processor than the process does.
                assert (place / "autogroup").read_text().endswith(f" nice {LIMITS.nice}\n")
            assert (
                set(status["Uid"].split())
                == set(status["Gid"].split())
                == {str(confinement.NOBODY)}
            )
            assert status["Groups"].strip() == ""
            assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
            assert len(list((place / "fd").iterdir())) == 1
            assert b"secret" not in (place / "environ").read_bytes()
            assert os.readlink(place / "cwd") == "/"
        given = {line[:26].strip(): line[26:].split()[:2] for line in (place / "limits").open()}
        assert given["Max open files"] == given["Max file size"] == ["0", "0"]
        assert given["Max core file size"] == given["Max processes"] == ["0", "0"]
        assert given["Max address space"] == [str(256 << 20)] * 2
        assert given["Max cpu time"] == ["60", "60"]
        assert set(worker.walls) == set(WALLS) or not seccomp.supported()
    finally:
        os.close(opened)
        worker.kill()
        worker.reap()


def test_no_worker_begins_without_the_walls_that_matter() -> None:
    down = "walls._limit = lambda name, most: name != 'NOFILE'"
    worker = Worker(LIMITS, PLAIN.replace("MODULES", "sys").replace("DOWN", down))
    with pytest.raises(NotStarted, match="cannot be set up: files"):
        worker.await_walls(time.monotonic() + 20)
    worker.kill()
    worker.reap()


def test_the_delivered_program_has_no_switch() -> None:
    """What a worker is started with: nothing of it comes from a setting, a rule or a request."""
    assert boot.COMMAND == (
        "import sys; sys.path += sys.argv[3:]; from worker.boot import begin; begin()"
    )
    assert set(json.loads(_command_line(Limits(), boot.COMMAND, 3)[-3])) == {
        "nice",
        "memory",
        "cpu_seconds",
        "parent",
    }


# -- what `manage.py check` tells


def test_the_walls_are_told() -> None:
    told = check_walls(None)
    assert [message.id for message in told][:1] == ["rowkeeper.I010"]
    assert "few system calls" in told[0].msg or not seccomp.supported()
    assert told[0].level < WARNING
    assert len(told) == 1 or not seccomp.supported()


def test_missing_walls_are_warned_of() -> None:
    stand, missing = messages_of_walls({*WALLS} - {"seccomp", "user"})
    assert "seccomp" not in stand.msg and "audit of Python events" in stand.msg
    assert missing.id == "rowkeeper.W011" and missing.level == WARNING
    assert "a user without privileges; few system calls (seccomp)" in missing.msg


def test_workers_that_cannot_be_started_are_told(settings: Any) -> None:
    settings.ROWKEEPER = {"SCRIPTS": {"PYTHON": "/nowhere/python"}}
    (message,) = check_walls(None)
    assert message.id == "rowkeeper.E011" and "/nowhere/python" in message.msg


def test_limits_that_are_none_are_told(settings: Any) -> None:
    assert check_scripts(None) == []
    settings.ROWKEEPER = {"SCRIPTS": {"SECOND": 3}}
    (message,) = check_scripts(None)
    assert message.id == "rowkeeper.E010" and "`SECOND`" in message.msg
    assert check_walls(None) == []
