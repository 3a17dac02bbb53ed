"""The data center file as pydantic models: what a person writes. Frozen; unknown keys are refused.

`resolve.py` computes addresses, roles and pod ranges from it, as `DataCenter` and `Host`.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from bmk.datacenter.backup_spec import BackupSpec
from bmk.datacenter.scalars import (
    Address,
    BesideFile,
    DatabaseUrl,
    External,
    Fingerprint,
    HostName,
    Item,
    LabelKey,
    LabelValue,
    Line,
    Mac,
    Name,
    Range,
    Reference,
    Selection,
    Serial,
    Size,
    SystemId,
    Uuid,
    Version,
    Wwn,
)
from bmk.datacenter.spec import Spec

Port = Annotated[int, Field(ge=1, le=65535)]
Count = Annotated[int, Field(ge=1, le=100_000)]  # of hosts
Labels = dict[LabelKey, LabelValue]
Mode = Literal["audit", "warn", "deny"]


class Dhcp(Spec):
    """`authoritative` hands out addresses itself; `proxy` adds boot information to another DHCP server's answers."""

    mode: Literal["authoritative", "proxy"] = "authoritative"
    pool: Range | None = Field(None, description="addresses for machines that are not in this file")
    relays: tuple[Address, ...] = ()


class Network(Spec):
    cidr: Range
    gateway: Address | None = None
    mtu: Annotated[int, Field(ge=1280, le=9216)] = 1500
    dhcp: Dhcp | None = None
    dns: tuple[Address, ...] = ()
    ntp: tuple[HostName, ...] = ()
    reserved: tuple[Range, ...] = Field((), description="nothing is allocated in these; a host may ask for it")

    @property
    def ntp_addresses(self) -> tuple[str, ...]:
        """Time servers that are written as addresses. (No name ends in a number.)"""
        return tuple(server for server in self.ntp if server.rpartition(".")[2].isdigit())


class Deployer(Spec):
    """The machine that serves boot files, artifacts and images, and logs in to hosts."""

    address: Address
    http_port: Port = 80
    registry_port: Port = 5000
    ssh_from: tuple[Range, ...] = Field(
        (), description="further addresses and networks from which its ssh key opens hosts: another deployer, a NAT"
    )


class BmcProfile(Spec):
    """`tls`: how a BMC's certificate is checked, by an authority's signature or a fingerprint pinned for each host."""

    kind: Literal["redfish", "ipmi"]
    secret: Reference = Field(description="reference to username and password in the secret store, such as bmc/par")
    port: Port | None = None
    tls: Literal["ca", "pin"] = "ca"
    authorities: BesideFile | None = Field(
        None, description="with tls: ca, PEM file beside this one; by default the authorities that this machine trusts"
    )


class DiskSelector(Spec):
    """Which disk may be wiped. `serial` and `wwn` name one; `size` must match exactly one disk of the host."""

    serial: Serial | None = None
    wwn: Wwn | None = None
    size: Size | None = None
    rotational: bool | None = None


class LabMachine(Spec):
    """What the virtual data center builds for hosts of this profile."""

    kind: Literal["vm", "container", "simulated", "vagrant"]
    cpus: Annotated[int, Field(ge=1)] = 2
    memory: Size = "2GiB"
    disk: Size = "12GiB"
    tpm: bool = Field(False, description="whether virtual and simulated machines have a TPM 2.0 (swtpm)")


class Attest(Spec):
    """How a machine and the deployer prove to each other who they are, by a secret that its BMC or TPM hands over."""

    way: Literal["mailbox", "media", "console", "tpm", "none"]
    reason: Line | None = Field(None, min_length=8, description="why there is no proof, for whoever reads the report")


# How machines with a kind of BMC can get a secret, the default first; docs/attestation.md compares them.
WAYS: dict[str, tuple[str, ...]] = {"ipmi": ("mailbox", "console", "tpm"), "redfish": ("media", "console", "tpm")}


class Profile(Spec):
    """A hardware class."""

    bmc: BmcProfile
    attest: Attest | None = Field(None, description="by default what the kind of BMC carries best")
    firmware: Literal["uefi", "bios"] = "uefi"
    boot: Literal["pxe", "http"] = "pxe"
    boot_timeout: Annotated[int, Field(ge=30)] = Field(
        600, description="seconds that the firmware of such machines may take from power on until something boots"
    )
    disk: DiskSelector = DiskSelector()
    lab: LabMachine | None = None

    @property
    def attestation(self) -> Attest:
        """The profile's own setting, or the default of its kind of BMC."""
        return self.attest or Attest.model_validate({"way": WAYS[self.bmc.kind][0]})


class Nic(Spec):
    mac: Mac
    network: Name = "nodes"


class BmcSpec(Spec):
    address: Address
    secret: Reference | None = Field(None, description="user and password of this BMC, instead of its profile's")
    system: SystemId | None = Field(
        None, description="id of the machine's system in Redfish, where a BMC manages several that it cannot tell apart"
    )
    fingerprint: Fingerprint | None = Field(
        None, description="with tls: pin, of the BMC's certificate, as bmk fingerprint prints it"
    )


class HostSpec(Spec):
    name: Name
    profile: Name
    serial: Serial = Field(
        description="the machine's serial number as its BMC and DMI tables say it; `none` where they hold none of its "
        "own, and then its uuid is needed"
    )
    uuid: Uuid | None = None
    nics: Annotated[tuple[Nic, ...], Field(min_length=1)]
    address: Address | None = Field(None, description="reserves this address; otherwise one is allocated")
    bmc: BmcSpec
    disk: DiskSelector | None = None
    labels: Labels = {}


class Rack(Spec):
    networks: tuple[Name, ...] = ("nodes",)
    hosts: tuple[HostSpec, ...] = Field(description="a list, or the path of a file that holds one")


class KubernetesSpec(Spec):
    version: Version


class Endpoint(Spec):
    """Where the API is: nothing (the one control plane), a VIP of the control planes, or an external balancer."""

    vip: Address | None = None
    external: External | None = None
    port: Port = 6443


class ControlPlane(Spec):
    hosts: tuple[Name, ...]


class Workers(Spec):
    hosts: tuple[Name, ...] = ()
    select: Labels | None = None


class Bgp(Spec):
    asn: Annotated[int, Field(ge=1, le=4294967295)] = 64512
    peers: tuple[Address, ...] = Field((), description="top-of-rack routers; empty: the nodes peer with each other")
    accept: tuple[Range, ...] = Field(
        (),
        description="what these routers may announce beside the pods of nodes, such as 0.0.0.0/0; nothing else counts",
    )
    reflectors: tuple[Name, ...] = Field(
        (),
        description="nodes that pass on the routes of others; none: all peer with all, beyond 64 with control planes",
    )


class ClusterNetwork(Spec):
    plugin: Literal["routed", "cilium", "calico", "none"] = "routed"
    pods: Range
    services: Range
    node_prefix: Annotated[int, Field(ge=16, le=28)] = 24
    bgp: Bgp = Bgp()
    policies: Literal["kube-network-policies", "none"] = Field(
        "kube-network-policies",
        description="what enforces NetworkPolicy with the plug-in routed; others bring their own",
    )
    deny: tuple[Name, ...] = Field(
        (),
        description="namespaces in which pods reach, and are reached by, only what another NetworkPolicy lets through",
    )
    masquerade: Literal["auto", "on", "off"] = Field(
        "auto",
        description="whether pods reach what is outside with the address of their node; auto: unless routers are peers",
    )
    masquerade_except: tuple[Range, ...] = Field(
        (), description="ranges outside that see the pods' own addresses, because they have a route back"
    )

    load_balancers: Literal["none", "own"] = Field(
        "none",
        description="what gives Services of type LoadBalancer an address: nothing, as a warning says, or yours",
    )

    @property
    def enforces(self) -> bool:
        """Whether something enforces NetworkPolicy."""
        return self.plugin != "none" and (self.plugin != "routed" or self.policies != "none")

    @property
    def masquerades(self) -> bool:
        """Whether nodes translate pods' source addresses to their own; cilium and calico have their own settings."""
        return self.plugin == "routed" and (
            self.masquerade == "on" or (self.masquerade == "auto" and not self.bgp.peers)
        )


_DEFAULT_MODES: dict[str, Mode] = {"kube-system": "audit"}


class GroupPolicy(Spec):
    """Containers with group 0: `audit` writes them into the audit log, `warn` also warns the client, `deny` refuses.

    A namespace that is named here has that mode; another has that of its label bmk.dev/nonroot-group, or the default.
    kube-system has `audit` unless it is named: workloads of others there are counted and admitted.
    """

    default: Mode = "warn"
    namespaces: dict[Name, Mode] = Field(
        _DEFAULT_MODES, description="mode of single namespaces, whatever their label says"
    )
    exempt: tuple[Name, ...] = Field((), description="namespaces in which group 0 is not checked")

    @model_validator(mode="before")
    @classmethod
    def _keep_defaults(cls, given: Any) -> Any:
        """Naming other namespaces does not make kube-system follow the default."""
        if not isinstance(given, dict) or not isinstance(given.get("namespaces", {}), dict):
            return given
        exempt = given.get("exempt") or ()
        defaults = {name: mode for name, mode in _DEFAULT_MODES.items() if name not in exempt}
        return {**given, "namespaces": {**defaults, **given.get("namespaces", {})}}


class PodSecurity(Spec):
    """Pod Security of namespaces that have no label of their own; the version is that of the cluster."""

    enforce: Literal["privileged", "baseline", "restricted"] = "restricted"
    exempt: tuple[Name, ...] = Field(
        ("kube-system",), description="namespaces that are not checked: static pods use the host's files and network"
    )


class HardeningSpec(Spec):
    groups: GroupPolicy = GroupPolicy()
    pod_security: PodSecurity = PodSecurity()


class RolloutSpec(Spec):
    """How far a command goes at a time that takes members of a cluster away, such as bmk reinstall.

    What a cluster does not say here, spec.rollout says for all; options of the command count more than both.
    """

    max_unavailable: Count = Field(1, description="members of a cluster that may be away at a time")
    max_unavailable_rack: Count | None = Field(
        None, description="members of one rack that may be away at a time; by default any number"
    )
    stop_after: Count = Field(1, description="failures in a run after which no further member is taken away")
    pause_after: Count | None = Field(
        None, description="members taken away in a run after which it ends; the same command goes on"
    )
    soak: Annotated[float, Field(ge=0, le=86400)] = Field(
        0, description="seconds that a member serves before the next one is taken away"
    )
    canary: bool = Field(
        False, description="whether the first worker of a run goes alone; bmk upgrade does so unless this is said"
    )


class Cluster(Spec):
    backup: BackupSpec | None = Field(None, description="for this cluster instead of that of the data center")
    kubernetes: KubernetesSpec
    endpoint: Endpoint = Endpoint()
    control_plane: ControlPlane
    workers: Workers = Workers()
    network: ClusterNetwork
    hardening: HardeningSpec = HardeningSpec()
    rollout: RolloutSpec = Field(RolloutSpec(), description="bounds of this cluster, instead of those of spec.rollout")


class Waiver(Spec):
    """A control that is relaxed on purpose. Its findings are shown as waived, with the reason, until the day."""

    control: Name = Field(description="id of the control, as bmk hardening prints it")
    reason: Line = Field(min_length=8, description="why, for whoever reads the report")
    until: date | None = Field(None, description="last day on which it counts, such as 2027-03-31")
    hosts: tuple[Name, ...] = Field((), description="only on these hosts; by default everywhere")


class Expected(Spec):
    """An intended difference between a host and what is desired of it: `bmk drift` names it and does not count it."""

    items: Annotated[tuple[Item, ...], Field(min_length=1)]
    hosts: tuple[Selection, ...] = Field((), description="hosts, racks, roles, profiles or clusters; empty: all")
    reason: Line = Field(min_length=8, description="why, and who agreed")
    until: date = Field(description="the last day on which it is expected; afterwards it is drift")


class Metadata(Spec):
    name: Name


class JournalSpec(Spec):
    """A PostgreSQL server that keeps the journal, for several operators and controllers; without it, a local file."""

    url: DatabaseUrl = Field(description="such as postgresql://db.example.net/bmk; without a password")
    secret: Reference | None = Field(
        None, description="reference to username and password; by default as libpq finds them, such as ~/.pgpass"
    )


class CertificatesSpec(Spec):
    nightly: bool = Field(True, description="whether the nightly job renews certificates that end within 30 days")


class DataCenterSpec(Spec):
    artifacts: BesideFile = Field(
        "artifacts.lock", description="lock file beside this file; by default the one bmk ships"
    )
    deployer: Deployer
    timing: Literal["auto", "standard", "emulated"] = "auto"
    networks: dict[Name, Network]
    profiles: dict[Name, Profile]
    racks: dict[Name, Rack]
    clusters: dict[Name, Cluster] = {}
    waivers: tuple[Waiver, ...] = Field((), description="controls of bmk hardening that are relaxed, and why")
    retention_days: Annotated[int, Field(ge=7, le=36500)] = Field(
        400, description="days for which events, findings that are gone and files of runs are kept"
    )
    expected: tuple[Expected, ...] = Field((), description="intended differences that drift does not count")
    backup: BackupSpec | None = Field(None, description="for whom and where `bmk backup` keeps backups of clusters")
    journal: JournalSpec | None = None
    rollout: RolloutSpec = Field(RolloutSpec(), description="bounds of every cluster that has none of its own")
    certificates: CertificatesSpec = CertificatesSpec()


class DataCenterFile(Spec):
    """The whole of `inventories/<dc>/dc.yml`."""

    apiVersion: Literal["bmk.dev/v1"]  # noqa: N815 - the field's name in every Kubernetes-like file
    kind: Literal["DataCenter"]
    metadata: Metadata
    spec: DataCenterSpec
