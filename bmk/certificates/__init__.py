"""Certificates of a data center: which there are, what is in their files, what is served, and what is to be renewed."""
