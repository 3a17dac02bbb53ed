"""Results as documents: one module per kind (drift, hardening, verify, site), one per format (html, junit,
prometheus).
"""
