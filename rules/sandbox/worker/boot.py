"""How a worker begins: started as a program of its own, with a descriptor and a few numbers.

Whatever goes wrong before the first message is told to the web process, by nothing but `os`.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Callable
from typing import Any

# `-c` of a fresh interpreter: where this package and RestrictedPython lie comes last on the path.
COMMAND = "import sys; sys.path += sys.argv[3:]; from worker.boot import begin; begin()"


def begin(prepare: Callable[[], None] = lambda: None) -> None:
    """Be a worker. `prepare` is called with everything imported and no wall standing."""
    descriptor = int(sys.argv[1])
    try:
        options: dict[str, Any] = json.loads(sys.argv[2])
        from .main import main

        prepare()
        main(descriptor, options)
    except BaseException as error:
        text = json.dumps({"failed": f"{type(error).__name__}: {error}"[:1_000]}).encode()
        os.write(descriptor, struct.pack("!I", len(text)) + text)
    finally:
        os._exit(1)
