"""The site with short time limits, for `test_time_limits`."""

from project.settings import *  # noqa: F403
from project.settings import ROWKEEPER as OWN

ROWKEEPER = {**OWN, "DATABASE_SECONDS": 3, "CLIENT_SECONDS": 3}
