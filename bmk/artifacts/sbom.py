"""The software bill of materials of what a data center serves, as a CycloneDX 1.6 document.

Files and images of the mirror with their digests; the Go modules in each program, from the program itself; the Debian
packages of node image, install ramdisk and images. The same mirror gives the same bytes: no times, no random values.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

from bmk import __version__
from bmk.artifacts.buildinfo import Module, programs
from bmk.artifacts.lock import Lock
from bmk.artifacts.mirror import FileArtifact, ImageArtifact, Mirror
from bmk.artifacts.oci import PACKAGES
from bmk.document import parse_json

_NAMESPACE = uuid.UUID("6d1ff1f0-6d0f-5c5f-9b60-3b7c1a8f6a10")
# A file of the mirror -> the file that lists what it was made of, and whether those are binary or source packages.
_MADE_OF = {
    "node-image": ("node-packages", "amd64"),
    "node-rootfs": ("node-packages", "amd64"),
    "install-kernel": ("install-packages", "source"),
    "install-initrd": ("install-packages", "source"),
}

Component = dict[str, Any]


def sbom(name: str, lock: Lock, mirror: Mirror) -> dict[str, Any]:
    """The document for data center `name`, from a complete mirror."""
    bill = _Bill(lock, mirror)
    for file in mirror.files.values():
        bill.file(file)
    for image in mirror.images.values():
        bill.image(image)
    served = [*(f"file:{file}" for file in mirror.files), *(f"image:{image}" for image in mirror.images)]
    bill.needs(f"datacenter:{name}", served)
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {"type": "platform", "bom-ref": f"datacenter:{name}", "name": name},
            "tools": {"components": [{"type": "application", "name": "bmk", "version": __version__}]},
        },
        "components": [bill.components[ref] for ref in sorted(bill.components)],
        "dependencies": [{"ref": ref, "dependsOn": bill.needed[ref]} for ref in sorted(bill.needed)],
    }
    serial = uuid.uuid5(_NAMESPACE, json.dumps(document, sort_keys=True))
    return {**document, "serialNumber": f"urn:uuid:{serial}"}


class _Bill:
    """Components by their reference, each once, and what each is made of."""

    def __init__(self, lock: Lock, mirror: Mirror) -> None:
        self._lock, self._mirror = lock, mirror
        self.components: dict[str, Component] = {}
        self.needed: dict[str, list[str]] = {}

    def file(self, file: FileArtifact) -> None:
        ref = f"file:{file.name}"
        found: Component = {"type": "file", "name": file.name, "version": file.version}
        found["hashes"] = [{"alg": "SHA-256", "content": file.sha256}]
        found["properties"] = _properties(path=file.path, source=file.source, size=str(file.size))
        self._add(ref, found)
        parts = [self._module(Module("stdlib", info.go.removeprefix("go"), "")) for info in programs(file.local)]
        parts += [self._module(module) for info in programs(file.local) for module in info.modules]
        self.needs(ref, [*parts, *self._listed(file.name)])

    def image(self, image: ImageArtifact) -> None:
        ref, locked = f"image:{image.name}", self._lock.images.get(image.name)
        found: Component = {"type": "container", "name": image.name, "version": image.tag}
        found["purl"] = f"pkg:oci/{image.name}@{quote(image.digest, safe='')}?tag={quote(image.tag)}"
        found["hashes"] = [{"alg": "SHA-256", "content": image.digest.removeprefix("sha256:")}]
        self._add(ref, found)
        files = [f"file:{name}" for name in (locked.files.values() if locked else ())]
        self.needs(ref, [*files, *(self._package(line, "source") for line in self._labelled(image))])

    def needs(self, ref: str, parts: Iterable[str]) -> None:
        self.needed[ref] = sorted(set(parts))

    def _listed(self, name: str) -> Iterator[str]:
        listing, arch = _MADE_OF.get(name, ("", ""))
        if listing in self._mirror.files:
            lines = self._mirror.files[listing].local.read_text().splitlines()
            yield from (self._package(line, arch) for line in lines if line)

    def _labelled(self, image: ImageArtifact) -> list[str]:
        config = self._mirror.registry.blob(f"sha256:{image.id}").read_bytes()
        labels = parse_json(config, image.name)["config"].get("Labels") or {}
        return str(labels.get(PACKAGES, "")).split()

    def _module(self, module: Module) -> str:
        ref = f"pkg:golang/{quote(module.path.lower())}@{quote(module.version)}"
        found: Component = {"type": "library", "name": module.path, "version": module.version, "purl": ref}
        if module.sum:
            found["properties"] = _properties(**{"go.sum": module.sum})
        return self._add(ref, found)

    def _package(self, line: str, arch: str) -> str:
        name, _, version = line.partition("=")
        ref = f"pkg:deb/debian/{quote(name)}@{quote(version)}?arch={arch}&distro={self._lock.debian}"
        return self._add(ref, {"type": "library", "name": name, "version": version, "purl": ref})

    def _add(self, ref: str, component: Component) -> str:
        self.components.setdefault(ref, {"bom-ref": ref, **component})
        self.needed.setdefault(ref, [])
        return ref


def _properties(**values: str) -> list[dict[str, str]]:
    return [{"name": f"bmk:{name}", "value": value} for name, value in sorted(values.items()) if value]
