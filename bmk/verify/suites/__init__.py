"""Suites of testinfra, a file for each role: what holds where it ran. `bmk verify` and molecule run them.

`test_<role>.py` is asked of hosts that have the role on record (conftest.py), `test_host.py` of all. What a role wrote
is compared by the tests of `kinds.py`, which a suite imports; what must hold whatever a role says, a suite states
itself. Each remote command costs a round trip, seconds on a slow host: ask for many things at once.
"""
