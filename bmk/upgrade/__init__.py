"""Part of bmk; see docs/architecture.md."""
