"""What happened, in order, in one SQLite file per data center. Every process of bmk writes to it."""

from bmk.journal.events import Event
from bmk.journal.store import Journal, open_journal

__all__ = ["Event", "Journal", "open_journal"]
