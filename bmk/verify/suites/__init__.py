"""Suites of testinfra: what holds on every node that works. `bmk verify` runs them over ssh, molecule as its verifier.

A suite is one file; pytest finds it. `host` is testinfra's, `manifest` what the last converge left there (conftest.py).
"""
