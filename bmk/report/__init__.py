"""Results as documents: one module a kind (drift, hardening, verify, site), one a format (html, junit, prometheus)."""
