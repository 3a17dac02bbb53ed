"""The lab's Redfish BMCs: sushy-tools' emulator, with the lab's machines behind it and faults on demand.

One process serves all of them, by HTTPS: the machine is the one whose BMC address the client connected to. State lives
with the lab's supervisor; here are only the event logs. `python -m bmk.lab.bmc.redfish --dc lab`
"""

from __future__ import annotations

import argparse
import json
import ssl
import threading
import time
from pathlib import Path
from typing import Any, cast

import flask
from sushy_tools import error
from sushy_tools.emulator import main as emulator
from sushy_tools.emulator.resources.systems.base import AbstractSystemsDriver
from sushy_tools.emulator.resources.vmedia import DeviceInfo

from bmk.errors import BmkError
from bmk.lab.bmc.certificate import authority, self_signed
from bmk.lab.bmc.fetch_medium import fetch
from bmk.lab.bmc.https import TlsServer
from bmk.lab.bmc.redfish_shape import (
    REDFISH_TARGETS,
    Refused,
    amend,
    boot_from_patch,
    drives,
    mode_of,
    personality,
    settings,
)
from bmk.lab.client import request
from bmk.paths import state_dir
from bmk.secrets import Secret, SecretStore

Machine = dict[str, Any]
STORAGE, DRIVE = "1", "Cd"
OPEN = frozenset({"/redfish", "/redfish/v1"})
SLOW = 8.0  # seconds that a slow BMC takes for each request
RESETS = {
    "On": "on",
    "ForceOn": "on",
    "ForceOff": "off",
    "GracefulShutdown": "press",
    "ForceRestart": "reset",
    "GracefulRestart": "reset",
}


# Its clock starts at the epoch, like that of a BMC without a set clock.
FAN_FAILED = {"Id": "f", "Created": "1970-01-01T00:00:41Z", "Severity": "Critical", "Message": "Fan 3 failed"}


class LabBmcs:
    """What all requests share: the lab's name, credentials, event logs."""

    def __init__(self, dc: str, secrets: SecretStore) -> None:
        self.dc, self._secrets = dc, secrets
        self._logs: dict[str, list[dict[str, str]]] = {}

    def here(self) -> Machine:
        """The machine behind the address that the client connected to; asked once for each request."""
        if "machine" not in flask.g:
            address = flask.request.environ["werkzeug.socket"].getsockname()[0]
            found = request(self.dc, "list", bmc=address)["machines"]
            if not found:
                raise error.NotFound(f"no machine of the lab has its BMC at {address}")
            flask.g.machine = found[0]
        return cast(Machine, flask.g.machine)

    def may_enter(self, machine: Machine) -> bool:
        """Whether this request carries the BMC's user name and password."""
        known, given = self._secrets.resolve(machine["bmc"]["secret"]), flask.request.authorization
        if given is None or given.type != "basic":
            return False
        return given.username == known.username and Secret(given.password or "") == known.password

    def note(self, machine: Machine, text: str) -> None:
        log = self.log(machine)
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        log.append({"Id": str(len(log) + 1), "Created": at, "Severity": "OK", "Message": text})

    def log(self, machine: Machine) -> list[dict[str, str]]:
        return self._logs.setdefault(machine["uuid"], [])


class Systems(AbstractSystemsDriver):  # type: ignore[misc] # sushy-tools is not typed
    """Systems of the emulator: the one machine behind the address that the client connected to."""

    def __init__(self, bmcs: LabBmcs) -> None:
        self._bmcs = bmcs

    @property
    def driver(self) -> str:
        return "<bmk lab>"

    @property
    def systems(self) -> list[str]:
        return [self._bmcs.here()["uuid"]]

    def _get(self, identity: str) -> Machine:
        machine = self._bmcs.here()
        if identity not in (machine["uuid"], machine["name"]):
            raise error.NotFound(f"no system {identity} behind this BMC")
        return machine

    def uuid(self, identity: str) -> str:
        return str(self._get(identity)["uuid"])

    def name(self, identity: str) -> str:
        return str(self._get(identity)["name"])

    def get_power_state(self, identity: str) -> str:
        machine = self._get(identity)
        return "On" if machine["power"] == "on" and "bmc-power-lies" not in machine["faults"] else "Off"

    def set_power_state(self, identity: str, state: str) -> None:
        if state not in RESETS:
            raise error.BadRequest(f"reset type {state} is not supported")
        machine = self._get(identity)
        request(self._bmcs.dc, "power", machine=machine["name"], action=RESETS[state])
        self._bmcs.note(machine, f"power: {state}")

    def get_boot_device(self, identity: str) -> str:
        return REDFISH_TARGETS[self._get(identity)["boot"]["target"]]

    def set_boot_device(self, identity: str, boot_source: str) -> None:  # noqa: ARG002 - signature of the emulator
        raise error.BadRequest(f"{boot_source}: the boot device is set by PATCH, which is served before this driver")

    def get_boot_mode(self, identity: str) -> str:
        return mode_of(self._get(identity))

    def get_nics(self, identity: str) -> list[dict[str, str]]:
        return [{"id": f"NIC{n}", "mac": mac} for n, mac in enumerate(self._get(identity)["macs"], start=1)]

    def get_total_cpus(self, identity: str) -> int | None:
        return cast("int | None", self._get(identity).get("cpus"))

    def get_total_memory(self, identity: str) -> float | None:
        memory = self._get(identity).get("memory")
        return memory / 2**30 if isinstance(memory, int) else None


class Storage:
    """The emulator's storage and drive drivers in one, with the disks of the lab's machines."""

    def __init__(self, bmcs: LabBmcs) -> None:
        self._bmcs = bmcs

    def get_storage_col(self, identity: str) -> list[dict[str, Any]]:  # noqa: ARG002 - one system
        names = [d["Id"] for d in drives(self._bmcs.here())]
        return [{"Id": STORAGE, "Name": "Disks", "StorageControllers": [], "Drives": names}]

    def get_drives(self, identity: str, storage: str) -> list[dict[str, Any]]:  # noqa: ARG002 - one storage, one host
        return drives(self._bmcs.here())

    def get_all_storage(self) -> list[tuple[str, str]]:
        return [(self._bmcs.here()["uuid"], STORAGE)]

    def get_all_drives(self) -> list[tuple[str, str, str]]:
        return [(self._bmcs.here()["uuid"], STORAGE, d["Id"]) for d in drives(self._bmcs.here())]


class EmulatedMedia:
    """The emulator's driver of virtual media: one optical drive, whose state lives with the lab's supervisor."""

    def __init__(self, bmcs: LabBmcs) -> None:
        self._bmcs = bmcs

    @property
    def devices(self) -> list[str]:
        return [DRIVE]

    def get_device_name(self, identity: str, device: str) -> str:  # noqa: ARG002 - one system
        if device != DRIVE:
            raise error.NotFound(f"there is no virtual drive {device}")
        return "Virtual CD"

    def get_device_media_types(self, identity: str, device: str) -> list[str]:  # noqa: ARG002 - signature of the emulator
        return ["CD", "DVD"]

    def get_device_image_info(self, identity: str, device: str) -> DeviceInfo:  # noqa: ARG002 - signature of the emulator
        url = self._bmcs.here()["medium"]["url"]
        return DeviceInfo(url.rpartition("/")[2], url, bool(url), True, "", "", False)

    def insert_image(self, identity: str, device: str, image_url: str, *_: Any, **__: Any) -> str:
        self.get_device_name(identity, device)
        machine = self._bmcs.here()
        path = Path(machine["medium"]["path"])
        if machine["medium"]["url"]:
            raise Refused("a medium is inserted already")
        if "bmc-ignores-media" not in machine["faults"]:
            fresh = path.with_suffix(".new")
            fresh.write_bytes(fetch(image_url, machine["bmc"]["address"]))
            fresh.replace(path)
            request(self._bmcs.dc, "medium", machine=machine["name"], url=image_url)
        return str(path)

    def eject_image(self, identity: str, device: str) -> None:
        self.get_device_name(identity, device)
        machine = self._bmcs.here()
        if "bmc-ignores-media" not in machine["faults"]:
            request(self._bmcs.dc, "medium", machine=machine["name"], url="")
            Path(machine["medium"]["path"]).unlink(missing_ok=True)


class LabApplication(emulator.Application):  # type: ignore[misc] # sushy-tools is not typed
    """The emulator's application with the lab's drivers. Its routes look the drivers up here."""

    bmcs: LabBmcs

    @property
    def systems(self) -> Systems:
        return Systems(self.bmcs)

    @property
    def vmedia(self) -> EmulatedMedia:
        return EmulatedMedia(self.bmcs)

    @property
    def storage(self) -> Storage:
        return Storage(self.bmcs)

    @property
    def drives(self) -> Storage:
        return Storage(self.bmcs)

    def render_template(self, template_name: str, /, **params: Any) -> str:
        text: str = super().render_template(template_name, **params)
        if template_name not in ("system.json", "drive.json"):
            return text
        return json.dumps(amend(template_name, json.loads(text), self.bmcs.here()))


def lab_application(bmcs: LabBmcs) -> LabApplication:
    """The emulator's one application, made the lab's. Once per process."""
    app = cast(LabApplication, emulator.app)
    app.__class__ = LabApplication  # the routes are bound to that object, so it cannot be a new one
    app.bmcs = bmcs
    # By default one directory in /tmp serves all labs and belongs to the user of the first one.
    app.config["SUSHY_EMULATOR_STATE_DIR"] = str(state_dir(bmcs.dc) / "lab" / "redfish")
    app.before_request(lambda: gate(bmcs))
    app.register_error_handler(Refused, lambda refusal: _error(400, str(refusal)))
    app.register_error_handler(BmkError, lambda error: _error(503, str(error)))
    app.add_url_rule("/redfish/v1/Systems/<identity>/LogServices", view_func=log_services)
    app.add_url_rule("/redfish/v1/Systems/<identity>/LogServices/SEL", view_func=log_service)
    app.add_url_rule("/redfish/v1/Systems/<identity>/LogServices/SEL/Entries", view_func=log_entries)
    app.add_url_rule("/redfish/v1/Systems/<identity>/SD", view_func=future_state, methods=["GET", "PATCH"])
    app.add_url_rule("/redfish/v1/Systems/<identity>/Oem/Bmk/SerialConsole", view_func=serial_console)
    return app


def gate(bmcs: LabBmcs) -> flask.Response | None:
    """Before each request: faults, login, and the boot override, for which the emulator has no `Once`."""
    machine = bmcs.here()
    if "bmc-slow" in machine["faults"]:
        time.sleep(SLOW)
    if "bmc-503" in machine["faults"]:
        return _error(503, "the BMC is busy")
    if flask.request.path.rstrip("/") not in OPEN and not bmcs.may_enter(machine):
        return _error(401, "wrong user name or password")
    boot = (flask.request.get_json(silent=True) or {}).get("Boot") if flask.request.method == "PATCH" else None
    return _patch_boot(bmcs, machine, boot) if boot else None


def _patch_boot(bmcs: LabBmcs, machine: Machine, boot: dict[str, Any]) -> flask.Response:
    try:
        if flask.request.path.endswith("/SD") != personality(machine).settings_apart:
            raise Refused("support of this operation for Boot properties is moved to the future state URI")
        wanted = boot_from_patch(boot, machine)
    except Refused as refusal:
        return _error(400, str(refusal))
    if wanted and "bmc-ignores-override" not in machine["faults"]:
        target, enabled = wanted
        request(bmcs.dc, "boot", machine=machine["name"], target=target, enabled=enabled)
        bmcs.note(machine, f"boot override: {target}, {enabled}")
    return flask.Response(status=204)


def log_services(identity: str) -> flask.Response:  # noqa: ARG001 - one system behind each address
    return flask.jsonify({"Members": [{"@odata.id": f"{flask.request.path.rstrip('/')}/SEL"}]})


def log_service(identity: str) -> flask.Response:  # noqa: ARG001 - part of the route
    return flask.jsonify({"Id": "SEL", "Entries": {"@odata.id": f"{flask.request.path.rstrip('/')}/Entries"}})


def log_entries(identity: str) -> flask.Response:  # noqa: ARG001 - part of the route
    bmcs = cast(LabApplication, emulator.app).bmcs
    machine = bmcs.here()
    broken = [FAN_FAILED] if "bmc-fan" in machine["faults"] else []
    return flask.jsonify({"Members": [*bmcs.log(machine), *broken]})


def future_state(identity: str) -> flask.Response:  # noqa: ARG001 - part of the route
    return flask.jsonify(settings(cast(LabApplication, emulator.app).bmcs.here()))


def serial_console(identity: str) -> flask.Response:  # noqa: ARG001 - part of the route
    """What the console has said since byte `offset`."""
    log = Path(cast(LabApplication, emulator.app).bmcs.here()["console"])
    offset = flask.request.args.get("offset", 0, type=int)
    if not log.exists():
        return flask.Response(b"", content_type="text/plain")
    with log.open("rb") as text:
        text.seek(offset)
        return flask.Response(text.read(2**20), content_type="text/plain")


def _error(status: int, message: str) -> flask.Response:
    body = json.dumps({"error": {"code": "Base.1.0.GeneralError", "message": message}})
    return flask.Response(body, status=status, content_type="application/json", headers={"Retry-After": "5"})


def serve(dc: str, directory: Path, listen: str) -> None:
    """Serve the BMCs of a running lab until killed. `directory`: where dc.yml (and perhaps its vault) is."""
    bmcs = LabBmcs(dc, SecretStore(directory, state_dir(dc)))
    redfish = [m["bmc"] for m in request(dc, "list")["machines"] if m["bmc"]["kind"] == "redfish"]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(authority(state_dir(dc)), [b["address"] for b in redfish]))
    app = lab_application(bmcs)
    threads = [
        threading.Thread(target=TlsServer(listen, port, app, context).serve_forever)
        for port in sorted({b["port"] or 443 for b in redfish})
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description="Redfish BMCs of a running lab")
    parser.add_argument("--dc", required=True, help="the lab's name")
    parser.add_argument("--directory", type=Path, help="of its dc.yml, for secrets kept there; default: none")
    parser.add_argument("--listen", default="0.0.0.0", help="address to listen on")  # noqa: S104 - the lab's namespace
    args = parser.parse_args()
    serve(args.dc, args.directory or state_dir(args.dc) / "lab", args.listen)


if __name__ == "__main__":
    main()
