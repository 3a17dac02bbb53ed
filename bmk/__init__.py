"""bmk takes powered-off servers to hardened Kubernetes clusters, and keeps proving that they still are."""

__version__ = "0.1.0"
