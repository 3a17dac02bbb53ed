# Copyright bmk contributors. Apache-2.0
"""What each module does, by its name: used by the modules themselves and by bmk.ansible.module_runner.

`module` is an AnsibleModule, or anything with params, check_mode, exit_json and fail_json.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

SAMPLE = {
    "token": "aaaaaa." + 16 * "a",
    "token_id": "aaaaaa",
    "ca_hash": "sha256:none",
    "certificate_key": "",
    "encryption": "",
}


def enter(name: str, module: Any) -> None:
    """Do the work of the module `name`. Imports only what this work needs: on a slow node that is what costs."""
    ENTRIES[name](module)


def _applied(module: Any) -> None:
    from ansible.module_utils.bmk_applied import Applied
    from ansible.module_utils.bmk_batch import run_batch

    run_batch(module, Applied())


def _downloads(module: Any) -> None:
    from ansible.module_utils.bmk_batch import run_batch
    from ansible.module_utils.bmk_downloads import Downloads, keep_hashes

    run_batch(module, Downloads(), keep_hashes)


def _files(module: Any) -> None:
    from ansible.module_utils.bmk_batch import run_batch
    from ansible.module_utils.bmk_files import Files

    run_batch(module, Files())


def _groups(module: Any) -> None:
    from ansible.module_utils.bmk_batch import run_batch
    from ansible.module_utils.bmk_groups import GroupsKind

    run_batch(module, GroupsKind())


def _kernel_modules(module: Any) -> None:
    from ansible.module_utils.bmk_batch import run_batch
    from ansible.module_utils.bmk_kernel_modules import KernelModules

    run_batch(module, KernelModules())


def _packages(module: Any) -> None:
    from ansible.module_utils.bmk_batch import run_batch
    from ansible.module_utils.bmk_packages import Packages

    run_batch(module, Packages())


def _sysctls(module: Any) -> None:
    from ansible.module_utils.bmk_batch import run_batch
    from ansible.module_utils.bmk_sysctls import Sysctls

    run_batch(module, Sysctls())


def _units(module: Any) -> None:
    from ansible.module_utils.bmk_batch import run_batch
    from ansible.module_utils.bmk_units import Units

    run_batch(module, Units())


def _users(module: Any) -> None:
    from ansible.module_utils.bmk_batch import run_batch
    from ansible.module_utils.bmk_users import Users

    run_batch(module, Users())


def _probe(module: Any) -> None:
    from ansible.module_utils.bmk_facts import facts, notes

    known = facts()
    found = {}
    if module.params.get("sections", True):
        from ansible.module_utils.bmk_sections import sections

        found = sections()
    module.exit_json(changed=False, facts=known, notes=notes(known), sections=found)


def _manifest(module: Any) -> None:
    from ansible.module_utils.bmk_facts import facts, notes
    from ansible.module_utils.bmk_sections import write_manifest

    known = facts()
    changed, manifest = write_manifest(module.params, known, notes(known), check=module.check_mode)
    outputs = {"manifest": manifest["digest"], "notes": manifest["notes"], "content": manifest["content"]}
    module.exit_json(changed=changed, bmk_outputs=outputs)


def _kubeadm(module: Any) -> None:
    from ansible.module_utils.bmk_batch import Failed
    from ansible.module_utils.bmk_kubeadm_files import result
    from ansible.module_utils.bmk_kubeadm_left import leave
    from ansible.module_utils.bmk_kubeadm_once import again, once
    from ansible.module_utils.bmk_kubeadm_upgrade import upgrade

    try:
        if module.params["action"] == "refresh":
            module.exit_json(**result(again(module.params, module.check_mode)))
            return
        act = {"reset": leave, "upgrade": upgrade}.get(module.params["action"], once)
        changed, said = act(module.params, module.check_mode)
    except Failed as error:
        module.fail_json(msg=str(error))
        return
    diff = {"before_header": "kubeadm", "before": "", "after": module.params["action"] + "\n"} if changed else {}
    module.exit_json(changed=changed, stdout=said, diff=diff)


def _ticket(module: Any) -> None:
    from ansible.module_utils.bmk_batch import Failed
    from ansible.module_utils.bmk_tickets import key, mint, revoke

    asked = {"minted": mint, "revoked": revoke, "key": lambda _: key()}[module.params["state"]]
    if module.check_mode and module.params["state"] != "key":
        module.exit_json(changed=False, **SAMPLE)
        return
    try:
        known = asked(module.params)
    except Failed as error:
        known = {"problem": str(error)}  # not a failure yet: the answer of this task is hidden, its problem must not be
    module.exit_json(changed=False, **known)


ENTRIES: dict[str, Callable[[Any], None]] = {
    "bmk_applied": _applied,
    "bmk_downloads": _downloads,
    "bmk_files": _files,
    "bmk_groups": _groups,
    "bmk_kernel_modules": _kernel_modules,
    "bmk_kubeadm": _kubeadm,
    "bmk_manifest": _manifest,
    "bmk_packages": _packages,
    "bmk_probe": _probe,
    "bmk_sysctls": _sysctls,
    "bmk_ticket": _ticket,
    "bmk_units": _units,
    "bmk_users": _users,
}
