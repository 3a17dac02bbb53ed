"""What a machine said of itself, fit to be kept and shown: data of a stranger, never a command or advice of bmk."""

from __future__ import annotations


def plain(text: str, longest: int) -> str:
    """One printable line of at most `longest` characters: what a terminal would obey becomes a question mark."""
    text = text[:longest]
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def quote(text: str) -> str:
    """A stranger's words in quotation marks that they cannot close."""
    return '"' + plain(text, 1000).replace('"', "'") + '"'
