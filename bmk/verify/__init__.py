"""Proof that hosts and clusters work as they should: testinfra suites and smoke pods."""
