"""`bmk provision`: powered-off machines to nodes of a cluster that works."""

from __future__ import annotations

from bmk.engine.action import Action
from bmk.phases.admission_policies import AdmissionPolicies
from bmk.phases.baseline_signed import BaselineSigned
from bmk.phases.booting import Booting
from bmk.phases.configured import Configured
from bmk.phases.drift_repair import DriftRepair
from bmk.phases.imaging import Imaging
from bmk.phases.installed import Installed
from bmk.phases.joined import Joined
from bmk.phases.powered import Powered
from bmk.phases.reachable import Reachable
from bmk.phases.ready import Ready
from bmk.phases.registered import Registered
from bmk.phases.removed import Removed
from bmk.phases.smoke_test import SmokeTest
from bmk.phases.verified import Verified

PROVISION = Action(
    "provision",
    (
        Registered(),
        Removed(),
        Powered(),
        Booting(),
        Imaging(),
        Installed(),
        Reachable(),
        Configured(),
        Joined(),
        AdmissionPolicies(),
        Verified(),
        DriftRepair(),
        BaselineSigned(),
        SmokeTest(),
        Ready(),
    ),
)
