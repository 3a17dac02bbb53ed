"""On the machine: pins its host key and signs its baseline, as after a converge. sign_baseline.py DATACENTER"""

from __future__ import annotations

import sys
from pathlib import Path

from bmk.datacenter.load import load_datacenter
from bmk.datacenter.state import open_journal
from bmk.drift.scan import Asked
from bmk.live.drift_service import sign_baselines
from bmk.ssh import deployer_key

dc = load_datacenter(sys.argv[1])
(name,) = dc.hosts
with Path("/root/.ssh/authorized_keys").open("a") as keys:
    keys.write(deployer_key(dc.state).with_suffix(".pub").read_text())
journal = open_journal(dc)
journal.record(name, "host_keys", [Path("/etc/ssh/ssh_host_ed25519_key.pub").read_text().strip()])
done = sign_baselines(dc, journal, [Asked(name, "molecule")])[name]
journal.close()
sys.exit(str(done) if done else 0)
