"""All controls. A new one is an entry in a module here; a new module is a line in CONTROLS."""

from __future__ import annotations

from bmk.hardening.control import Control
from bmk.hardening.controls import (
    api_server,
    baseline,
    cluster,
    components,
    containerd,
    containers,
    control_plane,
    identities,
    kubelet,
    socket,
)

CONTROLS: tuple[Control, ...] = (
    *socket.CONTROLS,
    *containerd.CONTROLS,
    *containers.CONTROLS,
    *kubelet.CONTROLS,
    *baseline.CONTROLS,
    *control_plane.CONTROLS,
    *identities.CONTROLS,
    *api_server.CONTROLS,
    *components.CONTROLS,
    *cluster.CONTROLS,
)
BY_ID = {control.id: control for control in CONTROLS}
SYSCTLS = list(baseline.SYSCTLS)
