"""The key of secrets at rest: which keys control planes have, and the way from an old one to a new one."""
