"""What firmware that is tried says."""

from __future__ import annotations

from bmk.lab.host.probe import verdict

CLEAR = "\x1b[2J\x1b[01;01H\x1b[=3h"
MENU = f'{CLEAR}BdsDxe: loading Boot0001 "EFI Internal Shell" from Fv(7CB8BDC9-F8EB-4F34-AAEA-3EE4AF6516A1)\n'


def test_firmware_that_shows_its_boot_menu_works() -> None:
    """Nothing after it is read: the machine would go on for ever."""
    said = iter([MENU, "UEFI Interactive Shell v2.2\n"])
    assert verdict(said) == ""
    assert next(said) == "UEFI Interactive Shell v2.2\n"


def test_a_processor_that_stops_is_the_reason() -> None:
    """As QEMU said it where KVM begins and knows too little; QEMU itself stays, so nothing more is waited for."""
    said = iter(["KVM internal error. Suberror: 1\n", "extra data[0]: 0x0000000000000001\n"])
    assert verdict(said) == "KVM internal error. Suberror: 1"
    assert verdict([f"{CLEAR}KVM internal error. Suberror: 1\n"]) == "KVM internal error. Suberror: 1"


def test_the_end_of_qemus_output_is_the_reason() -> None:
    """Not what firmware left on the screen before."""
    refused = "qemu-system-x86_64: failed to initialize kvm: Permission denied\n"
    assert verdict([CLEAR + "\n", refused]) == refused.strip()


def test_firmware_without_output_counts_as_failed() -> None:
    """A machine that hung until it was killed."""
    assert verdict([]) == verdict([CLEAR]) == "firmware does not get to its boot menu"
