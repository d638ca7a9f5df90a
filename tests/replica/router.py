"""The router for a primary and its replicas, as Django's documentation has it."""

from __future__ import annotations

import random
from typing import Any


class PrimaryReplicaRouter:
    def db_for_read(self, model: Any, **hints: Any) -> str:
        """Reads go to a randomly-chosen replica."""
        return random.choice(["replica1", "replica2"])

    def db_for_write(self, model: Any, **hints: Any) -> str:
        """Writes always go to primary."""
        return "primary"

    def allow_relation(self, obj1: Any, obj2: Any, **hints: Any) -> bool | None:
        """Relations between objects are allowed if both are in the primary/replica pool."""
        pool = {"primary", "replica1", "replica2"}
        if obj1._state.db in pool and obj2._state.db in pool:
            return True
        return None

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        """All non-auth models end up in this pool."""
        return True
