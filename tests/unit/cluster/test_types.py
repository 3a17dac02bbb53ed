"""Many threads ask many APIs; what decodes their answers must be ready for that."""

from __future__ import annotations

import subprocess
import sys

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
