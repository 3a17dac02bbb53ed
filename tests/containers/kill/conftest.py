"""A lab of one control plane and one worker as system containers, in a state directory of its own.

Their API is behind a balancer that bmk knows by its address only: haproxy, started here.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Lab, running

HERE = Path(__file__).resolve().parent
BALANCER = """\
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen api
  bind 10.87.0.1:7443
  server cp-1 10.87.0.11:6443 check inter 1s
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    place = tmp_path_factory.mktemp("kill")
    (place / "haproxy.cfg").write_text(BALANCER)
    with running("kill", str(HERE / "dc.yml"), place, own_cache=True) as lab:
        lab.bmk("lab up")
        with subprocess.Popen(lab.entered("haproxy", "-db", "-f", str(place / "haproxy.cfg"))) as balancer:
            yield lab
            balancer.terminate()
