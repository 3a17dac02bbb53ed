"""What was found, for people and for other programs: documents (`document.py`), JUnit, Prometheus, the page."""
