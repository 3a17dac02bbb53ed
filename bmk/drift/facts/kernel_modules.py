"""Kernel modules, loaded or built in; in a container they are somebody else's."""

from __future__ import annotations

from collections.abc import Sequence

from bmk.drift.facts.fact import IN_CONTAINER, Fact, Found, Wanted, columns, words


def command(wanted: Wanted) -> str:
    names = [name.replace("-", "_") for name in wanted.of("kernel_modules")]
    if not names:
        return ""
    there = '[ -d "/sys/module/$m" ] || grep -q "/$m.ko" "/lib/modules/$(uname -r)/modules.builtin"'
    return (
        f"c=no; {IN_CONTAINER} && c=yes; "
        f"for m in {words(names)}; do "
        f"if [ $c = yes ] || {there}; then printf '%s\\tyes\\n' \"$m\"; else printf '%s\\tno\\n' \"$m\"; fi; done"
    )


def parse(lines: Sequence[str]) -> Found:
    return {name: {"in_kernel": there == "yes"} for name, there in (columns(line, 2) for line in lines)}


FACT = Fact("kernel_modules", command, parse)
