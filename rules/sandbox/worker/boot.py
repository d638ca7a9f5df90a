"""Start of a worker: a separate program, given a descriptor and a few options.

Any failure before the first message is sent to the web process, with `os.write` only.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Callable
from typing import Any

# `-c` of a new interpreter. The paths of this package and RestrictedPython are last in `sys.path`.
COMMAND = "import sys; sys.path += sys.argv[3:]; from worker.boot import begin; begin()"


def begin(prepare: Callable[[], None] = lambda: None) -> None:
    """Run as a worker. `prepare` is called after all imports, before the walls are built."""
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
