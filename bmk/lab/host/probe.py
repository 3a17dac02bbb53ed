"""What this machine can do for a lab, by trying it. Each limit is named with its reason.

A device file proves nothing (`/dev/kvm` may open and QEMU abort a moment later, or its processor stop), so KVM counts
when real firmware got to its boot menu on it.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT
from threading import Timer
from typing import Literal

from bmk import programs
from bmk.lab.host import cgroups
from bmk.lab.machines.vm import OVMF_CODE
from bmk.paths import private_dir

_CAP_SYS_RESOURCE = 24
# A container's systemd, containerd and kubelet take some 20 of the instances that root has on the whole machine.
_INOTIFY_OF_TWO_LABS = 256


@dataclass(frozen=True, slots=True)
class HostCapabilities:
    """`limits` says in words what is missing and what is done about it. Each `*_why` is empty when the thing works."""

    root: bool
    kvm: bool
    kvm_why: str
    user_namespaces: bool
    user_namespaces_why: str
    cgroup_version: Literal[1, 2]
    cap_sys_resource: bool
    loadable_modules: bool
    inotify_instances: int

    @property
    def timing(self) -> Literal["standard", "emulated"]:
        """Timing profile of virtual machines; containers always run at native speed."""
        return "standard" if self.kvm else "emulated"

    @property
    def limits(self) -> list[str]:
        lines = []
        if not self.kvm:
            lines.append(f"no KVM ({self.kvm_why}): virtual machines are emulated, with the timing profile for it")
        if self.root and self.cgroup_version == 1:
            lines.append("cgroup v1: system containers run systemd and the kubelet in legacy mode")
        if self.root and not self.cap_sys_resource:
            lines.append("no CAP_SYS_RESOURCE: containerd in system containers gets restrict_oom_score_adj")
        if self.root and not self.loadable_modules:
            lines.append("this kernel loads no modules: what is built in counts as loaded")
        if self.root and self.inotify_instances < _INOTIFY_OF_TWO_LABS:
            lines.append(
                f"fs.inotify.max_user_instances is {self.inotify_instances}: enough for one lab of system containers "
                "at a time; for more: sysctl -w fs.inotify.max_user_instances=1024"
            )
        if not self.root and not self.user_namespaces:
            lines.append(f"no user namespaces ({self.user_namespaces_why}): the lab needs root")
        return lines


def probe() -> HostCapabilities:
    """Try everything. About two seconds, up to twenty where KVM hangs."""
    kvm_why = why_no_kvm()
    userns_why = why_no_namespaces()
    return HostCapabilities(
        root=os.geteuid() == 0,
        kvm=not kvm_why,
        kvm_why=kvm_why,
        user_namespaces=not userns_why,
        user_namespaces_why=userns_why,
        cgroup_version=cgroups.find().version,
        cap_sys_resource=_has_capability(_CAP_SYS_RESOURCE),
        loadable_modules=Path("/proc/modules").exists(),
        inotify_instances=int(Path("/proc/sys/fs/inotify/max_user_instances").read_text()),
    )


def why_no_kvm() -> str:
    """The reason why machines cannot have KVM; empty when they can."""
    if not Path("/dev/kvm").exists():
        return "/dev/kvm is not there"
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "/dev/kvm may not be opened; is this user in the group kvm?"
    if programs.find("qemu-system-x86_64") is None:
        return "QEMU is not installed"
    return try_firmware("-accel", "kvm", "-cpu", "host")


def try_firmware(*accelerator: str, patience: float = 20.0) -> str:
    """Start a machine that has nothing but UEFI firmware: why it does not get to its boot menu in `patience` seconds.

    A BIOS is no test: with some KVM a BIOS runs, and UEFI stops at an instruction that is not emulated.
    """
    code = next((path for path in OVMF_CODE if Path(path).exists()), None)
    if code is None:
        return "there is no UEFI firmware to try it with: apt-get install ovmf"
    flash = f"if=pflash,format=raw,unit=0,readonly=on,file={code}"
    machine = ["-machine", "q35", *accelerator, "-m", "128M", "-drive", flash]
    quiet = ["-nodefaults", "-display", "none", "-serial", "stdio"]
    with subprocess.Popen(
        ["qemu-system-x86_64", *machine, *quiet], stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, text=True, errors="replace"
    ) as qemu:
        end = Timer(patience, qemu.kill)
        end.start()
        try:
            return verdict(qemu.stdout or ())
        finally:
            end.cancel()
            qemu.kill()


def verdict(lines: Iterable[str]) -> str:
    """Why firmware did not get to its boot menu, from its and QEMU's output; empty when it did. Pure."""
    words = ""
    for line in lines:
        if "BdsDxe: " in line:
            return ""
        if "KVM internal error" in line:
            return line[line.index("KVM") :].strip()
        words = line.strip() if line.startswith("qemu") else words
    return words or "firmware does not get to its boot menu"


def why_no_namespaces() -> str:
    """The reason why an ordinary user can make no namespaces here; empty when one can."""
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--net", "true"], capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 else done.stderr.strip()


def _has_capability(number: int) -> bool:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapBnd:"):
            return bool(int(line.split()[1], 16) >> number & 1)
    return False


def write_facts(facts: HostCapabilities, lab: Path) -> None:
    """Write what was found to `lab/facts.json`, from which the timing profile is chosen."""
    private_dir(lab)
    found = {**asdict(facts), "timing": facts.timing, "limits": facts.limits}
    (lab / "facts.json").write_text(json.dumps(found, indent=1))
