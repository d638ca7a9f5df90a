"""The WSGI application of the site: `gunicorn project.wsgi`."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

from .warmup import prepare_process

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
# A WSGI server has few threads, which persist: each keeps its own connection.
os.environ.setdefault("DATABASE_POOL", "0")
# Limits the time of statements, which a client's where can make expensive, and of waits for a lock;
# not for `migrate` and other commands. A statement also ends when its process is gone.
os.environ.setdefault(
    "PGOPTIONS",
    "-c statement_timeout=15s -c lock_timeout=5s -c client_connection_check_interval=2s",
)

application = get_wsgi_application()
prepare_process()
