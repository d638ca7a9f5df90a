"""Where an ASGI server takes hold of the site. WSGI is several times faster: prefer it."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

from .warmup import settle

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
# A statement that a client's where makes costly ends, and so does a wait for a lock; those of
# `migrate` and commands do not. A statement whose process has gone ends, too.
os.environ.setdefault(
    "PGOPTIONS",
    "-c statement_timeout=15s -c lock_timeout=5s -c client_connection_check_interval=2s",
)

application = get_asgi_application()
settle()
