"""For gunicorn, when it is started in this folder: tells the site how many threads there are."""

from __future__ import annotations

from typing import Any


def post_worker_init(worker: Any) -> None:
    """Called in each process once the site is loaded."""
    # Imported here: gunicorn's main process keeps what it imports when it reloads the site.
    from rowkeeper.datasources.database.waiting import served_by

    if getattr(worker, "tpool", None) is not None:
        served_by(worker.cfg.threads)
