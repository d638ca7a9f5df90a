"""Where a WSGI server takes hold of the site: `gunicorn project.wsgi`."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

from .warmup import settle

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
# Its threads are few and stay: each keeps a connection of its own.
os.environ.setdefault("DATABASE_POOL", "0")
# A statement that a client's where makes costly ends, and so does a wait for a lock; those of
# `migrate` and commands do not. A statement whose process has gone ends, too.
os.environ.setdefault(
    "PGOPTIONS",
    "-c statement_timeout=15s -c lock_timeout=5s -c client_connection_check_interval=2s",
)

application = get_wsgi_application()
settle()
