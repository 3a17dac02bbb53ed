"""Many threads ask many APIs; what decodes their answers must be ready for that."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from lightkube.resources.certificates_v1 import CertificateSigningRequest

from bmk.cluster import api
from bmk.cluster.api.policies import KINDS

RESOURCES = re.compile(r"^from lightkube\.resources\.\w+ import (\([^)]*\)|.*)$", re.MULTILINE)

FIRST_ANSWERS = """
import sys, threading
sys.setswitchinterval(1e-6)
import bmk.cluster.api
from lightkube.core.decoders import decode_list, decode_status
from lightkube.resources.core_v1 import Node, Pod
from lightkube.resources.rbac_authorization_v1 import ClusterRole
ready = threading.Barrier(8)

def answer(number):
    ready.wait()
    for kind in (Pod, Node, ClusterRole):
        item = b'{"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}, "status": {"conditions": []}}'
        decode_list(b'{"items": [' + item + b']}', kind)
    decode_status(b"{}")

threads = [threading.Thread(target=answer, args=(n,)) for n in range(8)]
[t.start() for t in threads]
[t.join() for t in threads]
"""


def test_first_answers_may_come_at_once() -> None:
    """Eight threads decode their first answers together: the process lives (without the lesson it seldom does)."""
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", FIRST_ANSWERS], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]


def test_the_decoder_knows_every_type_that_is_used() -> None:
    """Kinds named in the package are the kinds that it lets the decoder learn: a new one cannot be forgotten."""
    used = {name for file in Path(api.__file__).parent.glob("*.py") for name in RESOURCES.findall(file.read_text())}
    names = {
        name.strip() for line in used for name in line.replace("(", "").replace(")", "").split(",") if name.strip()
    }
    assert names == {kind.__name__ for kind in (*KINDS, CertificateSigningRequest)}
