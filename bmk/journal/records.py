"""What is on record of a host besides its events: one type per kind, for who writes it, who reads it and for tests.

    InstallationRecord(serial="S1", at=now).save(journal, "worker-1")
    InstallationRecord.load(journal, "worker-1")     InstallationRecord.load_all(journal)["worker-1"]

A record of an installation ends when the host is installed anew (`journal.installation`). What cannot be read, from a
journal of an earlier version, counts as no record.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from bmk.journal.store import Journal


class JournalRecord(BaseModel):
    """`KEY` is its name in the journal; `at` is in seconds since the epoch."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    KEY: ClassVar[str]
    at: float = 0.0

    def save(self, journal: Journal, host: str) -> None:
        """Replaces the one before."""
        journal.record(host, self.KEY, self.model_dump(mode="json"))

    @classmethod
    def read(cls, value: Any) -> Self | None:
        """From what the journal holds."""
        try:
            return None if value is None else cls.model_validate(value)
        except ValidationError:
            return None

    @classmethod
    def load(cls, journal: Journal, host: str) -> Self | None:
        return cls.read(journal.facts(host).get(cls.KEY))

    @classmethod
    def load_all(cls, journal: Journal) -> dict[str, Self]:
        """By host."""
        found = {host: cls.read(value) for host, value in journal.records(cls.KEY).items()}
        return {host: record for host, record in found.items() if record is not None}

    @classmethod
    def drop(cls, journal: Journal, host: str) -> None:
        journal.forget(host, cls.KEY)


class InstallationRecord(JournalRecord):
    """An installation that was proven: of which machine (as granted), on which disk, by which grant.

    `serial` and `uuid` None: written by an earlier version, which did not say.
    """

    KEY = "installed"
    serial: str | None = None
    uuid: str | None = None
    disk_serial: str | None = None
    image_sha256: str = ""
    grant: str = ""
    attest: str = "none"
    proof: dict[str, Any] = {}


class MembershipRecord(JournalRecord):
    """kubeadm has made this host a member of the cluster."""

    KEY = "joined"
    cluster: str


class BootstrapRecord(JournalRecord):
    """This host was chosen to run `kubeadm init` for the cluster; nobody else may, and nobody joins before it is
    done."""

    KEY = "begun"
    cluster: str


class ProofRecord(JournalRecord):
    """The cluster was proven to work with this host in it; `cluster` None: a spare, which joins nothing."""

    KEY = "ready"
    cluster: str | None = None


class ConvergeRecord(JournalRecord):
    """`digest` is of everything that the last converge brought to the host (`ansible.manifest.desired_digest`)."""

    KEY = "converged"
    digest: str = ""


class SuspectRecord(JournalRecord):
    """A check found something wrong since the last converge: `by` whom, and the ids of `what`."""

    KEY = "suspect"
    by: str = ""
    what: tuple[str, ...] = ()


class DriftRepairRecord(JournalRecord):
    """When drift in the cluster's API and in the BMC was put right last."""

    KEY = "drift_repair"


class RemovalRecord(JournalRecord):
    """The host is being removed, or was, from etcd and the API of its cluster. Its installation cannot join again.

    Written before it is done, so that a run that was killed in between is known.
    """

    KEY = "removed"
    cluster: str


class DrainRecord(JournalRecord):
    """Pods were asked to leave this host, so that it can leave its cluster. Ends with the installation or the order."""

    KEY = "draining"


class RetiredRecord(JournalRecord):
    """The host is to leave its cluster for good, or has (`done`): since `at`, wanted by whom, and why.

    Ends with the next installation.
    """

    KEY = "retired"
    cluster: str | None = None
    by: str = ""
    reason: str = ""
    done: bool = False


class ResetOrder(JournalRecord):
    """The host's cluster is to end, since `at`, wanted by whom; of this host that is `done`.

    Ends for all hosts of the cluster at once, so that none of them makes a new one before the old one is gone.
    """

    KEY = "reset"
    cluster: str
    by: str = ""
    done: bool = False


class ReinstallOrder(JournalRecord):
    """The installation is to be replaced. Ends with the installation."""

    KEY = "reinstall"


class ReinstallProgress(JournalRecord):
    """A reinstallation was ordered for these `hosts` together. Lasts until all of them are proven to work; `done`: it
    is."""

    KEY = "reinstalling"
    hosts: tuple[str, ...] = ()
    done: bool = False


class MaintenanceRecord(JournalRecord):
    """The host is in maintenance, or on its way into it or out of it: since `at`, wanted by whom, and why.

    `cut`: its power may be cut when it does not shut down as asked.
    """

    KEY = "maintenance"
    by: str = ""
    reason: str = ""
    cut: bool = False


class RenewalOrder(JournalRecord):
    """All certificates of this host are to be renewed, however long they last; `done`: names of those that are."""

    KEY = "renewal"
    done: tuple[str, ...] = ()


class AcceptedBlocker(BaseModel):
    """What of one kind of blocker a person accepted for an upgrade, and why."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    reason: str
    items: tuple[str, ...] = ()


class UpgradeRecord(JournalRecord):
    """Of a cluster: an upgrade to `target` has begun and is not done. `members`: hosts that it is about; `done`: those
    that run `target` and take pods; `without`: left behind, to be installed anew. `backup`: the proven one that was
    taken before. `aborted`: no further host begins.
    """

    KEY = "upgrade"
    target: str
    members: tuple[str, ...] = ()
    done: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    accepted: dict[str, AcceptedBlocker] = {}
    backup: str = ""
    aborted: bool = False

    @property
    def waiting(self) -> tuple[str, ...]:
        """Members that are not done and not left behind."""
        return tuple(name for name in self.members if name not in self.done and name not in self.without)


class EvacuationRecord(JournalRecord):
    """Pods were asked to leave this host, so that it can be upgraded to `target`, and it does not take any yet.

    `cordoned`: somebody had cordoned it before, and it stays so. Ends when it takes pods again.
    """

    KEY = "evacuated"
    target: str
    cordoned: bool = False


class KeyRotationOrder(JournalRecord):
    """Of a cluster: its key of secrets at rest is to become another, `key` (its name; "": not chosen yet).

    Nothing was put on a host while `texts` is empty: it holds the sha256 of each file that may be on one because of
    this, so that drift knows them. `accepted`: why it goes on without a proven backup that is new enough.
    """

    KEY = "encryption_rotation"
    key: str = ""
    texts: tuple[str, ...] = ()
    accepted: str = ""


class CertificatesRecord(JournalRecord):
    """Of a data center: which certificates end first (where, kind, seconds since the epoch), and how many stand how.

    As `bmk certs` saw them last, at `at`.
    """

    KEY = "certificates"
    soonest: tuple[tuple[str, str, float], ...] = ()
    counts: dict[str, int] = {}


class ProvenBackup(BaseModel):
    """A backup that was restored and compared: its file and what is known of it.

    `at`: when it was begun; `sha256` and `size` (bytes) of the encrypted file; `revision` and `keys` of the etcd with
    `cluster_id`.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
    name: str
    at: float
    sha256: str
    size: int
    revision: int
    keys: int
    cluster_id: str
    objects: int = 0
    secrets: int = 0


class BackupRecord(JournalRecord):
    """Proven backups of a cluster that are kept, the newest last. `at`: when the newest was proven.

    `pending` is the name of one that is being stored. It is not kept yet: a run that was killed may have finished it.
    """

    KEY = "backups"
    kept: tuple[ProvenBackup, ...] = ()
    pending: str | None = None

    @property
    def newest(self) -> ProvenBackup | None:
        return self.kept[-1] if self.kept else None
