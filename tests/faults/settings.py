"""The site where many writers of one data source are no fault, however slow the machine is."""

from project.settings import *  # noqa: F403
from project.settings import ROWKEEPER as OWN

ROWKEEPER = {**OWN, "HELD_THREADS": 100}
