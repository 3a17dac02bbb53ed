"""Backups of clusters: what is in one, how it is proven, sealed and kept; see docs/backup.md."""
