"""What happened, in order, in one journal per data center. Every process of bmk writes to it."""

from bmk.journal.database import Conflict
from bmk.journal.events import Event
from bmk.journal.store import Journal, Server

__all__ = ["Conflict", "Event", "Journal", "Server"]
