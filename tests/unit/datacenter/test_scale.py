"""Large data centers load in the time of a few plain YAML parses. The table is bench/load.py's; this is the guard."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable

from bmk.datacenter.load import load_datacenter
from bmk.paths import content_dir


def _bench():
    spec = importlib.util.spec_from_file_location("bench_load", content_dir() / "bench" / "load.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _cpu(action: Callable[[], object]) -> float:
    """CPU seconds, the least of two: other work on the machine does not count."""
    taken = []
    for _ in range(2):
        start = time.process_time()
        action()
        taken.append(time.process_time() - start)
    return min(taken)


def test_load_costs_at_most_three_c_loader_parses(tmp_path):
    """Reading, checking and resolving 2,000 hosts takes at most three times PyYAML's C loader on the same bytes."""
    bench = _bench()
    bench.generate(tmp_path, 2000)
    assert len(load_datacenter(tmp_path).hosts) == 2000
    assert _cpu(lambda: load_datacenter(tmp_path)) < 3 * _cpu(lambda: bench.c_loader(tmp_path))
