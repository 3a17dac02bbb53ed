"""Actions are lists of phases. To add a step to an action, write its file and put it in the list."""

from __future__ import annotations

from collections.abc import Sequence

from bmk.phases.base import Phase
from bmk.phases.booting import Booting
from bmk.phases.configured import Configured
from bmk.phases.guarded import Guarded
from bmk.phases.imaging import Imaging
from bmk.phases.installed import Installed
from bmk.phases.joined import Joined
from bmk.phases.powered import Powered
from bmk.phases.reachable import Reachable
from bmk.phases.ready import Ready
from bmk.phases.registered import Registered
from bmk.phases.restored import Restored
from bmk.phases.sealed import Sealed
from bmk.phases.verified import Verified

PROVISION: Sequence[Phase] = (
    Registered(),
    Powered(),
    Booting(),
    Imaging(),
    Installed(),
    Reachable(),
    Configured(),
    Joined(),
    Guarded(),
    Verified(),
    Restored(),
    Sealed(),
    Ready(),
)

ACTIONS = {"provision": PROVISION}
