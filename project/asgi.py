"""The ASGI application of the site. Prefer WSGI, which is several times faster."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

from .warmup import prepare_process

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
# Limits the time of statements, which a client's where can make expensive, and of waits for a lock;
# not for `migrate` and other commands. A statement also ends when its process is gone.
os.environ.setdefault(
    "PGOPTIONS",
    "-c statement_timeout=15s -c lock_timeout=5s -c client_connection_check_interval=2s",
)

application = get_asgi_application()
prepare_process()
