"""What a running cluster was made with, by the configuration that kubeadm left in it. Pure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field

from bmk.datacenter.scalars import Range
from bmk.document import parse_document
from bmk.errors import ODD, ConfigError


class _Networking(BaseModel):
    podSubnet: Range  # noqa: N815 - kubeadm's names
    serviceSubnet: Range  # noqa: N815 - kubeadm's name


class _Configuration(BaseModel):
    kubernetesVersion: Annotated[str, Field(pattern=r"^v1\.\d{1,3}\.\d{1,3}$")]  # noqa: N815 - kubeadm's name
    controlPlaneEndpoint: Annotated[str, Field(pattern=r"^[a-z0-9.-]{1,253}:\d{1,5}$")]  # noqa: N815 - kubeadm's name
    networking: _Networking


def made_with(text: str) -> dict[str, str]:
    """Guarded fields (`bmk.plan.guards`) of a ClusterConfiguration; {} for one that cannot be read."""
    try:
        found = _Configuration.model_validate(parse_document(text, Path("kubeadm-config")).value)
    except (ConfigError, *ODD):
        return {}
    return {
        "kubernetes.version": found.kubernetesVersion.removeprefix("v"),
        "endpoint": found.controlPlaneEndpoint,
        "network.pods": str(found.networking.podSubnet),
        "network.services": str(found.networking.serviceSubnet),
    }
