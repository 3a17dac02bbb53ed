"""How patient a cluster is: "standard" is upstream's own, "emulated" keeps control planes alive without KVM.

Under plain emulation upstream's probes kill the API server, its restart overloads the machine, and the loop never ends.
The figures were measured: handshakes are the price of every retry, so everything that retries waits longer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Timing = Literal["standard", "emulated"]

# Of Go programs on an emulated machine. Post-quantum key exchange doubles the price of a handshake. Switches between
# threads of one program, and signals that make goroutines take turns, take longer than what they are for. There is
# memory to spare, and no processor to collect it. After 15 seconds without an answer to a ping every watch would begin
# anew, each with a handshake, and the API server would not catch up.
GO = {
    "GODEBUG": "tlsmlkem=0,tlssecpmlkem=0,asyncpreemptoff=1",
    "GOGC": "400",
    "GOMAXPROCS": "1",
    "HTTP2_PING_TIMEOUT_SECONDS": "120",
}


@dataclass(frozen=True, slots=True)
class ClusterTiming:
    """Differences to upstream; empty means upstream's defaults. Values as the components take them."""

    kubeadm_timeouts: dict[str, str] = field(default_factory=dict)
    etcd: dict[str, str] = field(default_factory=dict)
    api_server: dict[str, str] = field(default_factory=dict)
    controller_manager: dict[str, str] = field(default_factory=dict)
    lease: dict[str, str] = field(default_factory=dict)
    kubelet_arguments: dict[str, str] = field(default_factory=dict)
    kubelet: dict[str, str | int] = field(default_factory=dict)
    cpu_requests: dict[str, str] = field(default_factory=dict)
    probes: dict[str, dict[str, int]] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)


# System containers share their machine with each other, and often with tests; kubeadm would give up after a minute.
SHARED_TIMEOUTS = {
    "controlPlaneComponentHealthCheck": "8m0s",
    "kubeletHealthCheck": "8m0s",
    "kubernetesAPICall": "5m0s",
    "etcdAPICall": "5m0s",
    "tlsBootstrap": "8m0s",
    "discovery": "8m0s",
    "upgradeManifests": "8m0s",
}

PROFILES: dict[Timing, ClusterTiming] = {
    "standard": ClusterTiming(),
    "emulated": ClusterTiming(
        kubeadm_timeouts={
            "controlPlaneComponentHealthCheck": "20m0s",
            "kubeletHealthCheck": "10m0s",
            "kubernetesAPICall": "5m0s",
            "etcdAPICall": "10m0s",
            "tlsBootstrap": "15m0s",
            "discovery": "10m0s",
            "upgradeManifests": "20m0s",
        },
        etcd={
            "heartbeat-interval": "500",
            "election-timeout": "5000",
            # its own remarks about being slow: three lines for nearly every request
            "log-level": "warn",
            "warning-apply-duration": "10s",
            "warning-unary-request-duration": "30s",
        },
        # the API server waits for it, and takes the processor from it by upstream's requests
        cpu_requests={"etcd": "500m"},
        api_server={
            # its start is what everything waits for; a fifth of it is for queues that one client at a time never fills
            "enable-priority-and-fairness": "false",
            # it asks etcd how it does while etcd waits for the processor: upstream's 2 seconds were most of its errors
            "etcd-healthcheck-timeout": "30s",
            "etcd-readycheck-timeout": "30s",
            # nobody reads how many objects there are each minute, and how large the database is twice
            "etcd-count-metric-poll-period": "0s",
            "etcd-db-metric-poll-interval": "0s",
        },
        controller_manager={"node-monitor-period": "30s", "node-monitor-grace-period": "240s"},
        lease={
            "leader-elect-lease-duration": "120s",
            "leader-elect-renew-deadline": "90s",
            "leader-elect-retry-period": "20s",
        },
        kubelet_arguments={"housekeeping-interval": "60s"},
        kubelet={
            "nodeStatusUpdateFrequency": "30s",
            "nodeStatusReportFrequency": "5m0s",
            "nodeLeaseDurationSeconds": 160,
            "fileCheckFrequency": "60s",
            "syncFrequency": "5m0s",
            "volumeStatsAggPeriod": "10m0s",
        },
        probes={
            "livenessProbe": {"timeoutSeconds": 120, "periodSeconds": 60, "failureThreshold": 10},
            "readinessProbe": {"timeoutSeconds": 120, "periodSeconds": 30, "failureThreshold": 10},
            "startupProbe": {"timeoutSeconds": 120, "periodSeconds": 30, "failureThreshold": 60},
        },
        environment=dict(GO),
    ),
}
