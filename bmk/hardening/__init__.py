"""Hardening as data: what is set, why, how it is seen, what checks say. Pure; effects are in phases and cluster."""
