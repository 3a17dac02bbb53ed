"""Run by the ramdisk's own Python at build: the part of its standard library that the agent uses, compiled, as one zip.

`python pack_stdlib.py AGENT.pyz TARGET.zip` prints the extension modules that go with it as a JSON list of paths.
"""

import importlib
import importlib.util
import json
import marshal
import pathlib
import struct
import sys
import zipfile

# Imported when first needed, so not seen by importing the agent.
LATE = [
    "abc",
    "ast",
    "codecs",
    "encodings.ascii",
    "encodings.cp437",
    "encodings.idna",
    "encodings.latin_1",
    "encodings.utf_8",
    "encodings.utf_8_sig",
    "encodings.utf_16_le",
    "encodings.hex_codec",
    "stringprep",
    "io",
    "site",
    "os",
    "stat",
    "posixpath",
    "genericpath",
    "runpy",
    "pkgutil",
    "zipimport",
    "warnings",
    "linecache",
    "traceback",
    "tokenize",
    "token",
    "http.client",
    "http.cookiejar",
    "urllib.request",
    "urllib.error",
    "email.message",
    "email.parser",
    "email.feedparser",
    "subprocess",
    "selectors",
    "threading",
    "queue",
    "tempfile",
    "shutil",
    "json",
    "json.encoder",
    "json.decoder",
    "hashlib",
    "_hashlib",
    "uuid",
    "struct",
    "socket",
    "fcntl",
    "re",
    "argparse",
    "gettext",
    "locale",
    "heapq",
    "bisect",
    "random",
    "signal",
    "mmap",
    "contextlib",
    "dataclasses",
    "datetime",
    "_strptime",
    "calendar",
    "base64",
    "hmac",
    "secrets",
    "zlib",
    "_sitebuiltins",
    "inspect",
    "importlib.util",
    "importlib.machinery",
    "importlib.abc",
    "importlib.resources",
    "ipaddress",
    "string",
    "textwrap",
]


def main() -> None:
    agent, target = sys.argv[1:]
    sys.path.insert(0, agent)
    for name in [*LATE, *agent_modules(agent)]:
        importlib.import_module(name)
    extensions = set()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, module in sorted(sys.modules.items()):
            path = origin(module)
            if path.endswith(".so"):
                extensions.add(path)
            elif path.endswith(".py") and name != "__main__" and agent not in path:
                add(archive, name, path, hasattr(module, "__path__"))
    json.dump(sorted(extensions), sys.stdout)


def agent_modules(agent: str) -> list[str]:
    names = zipfile.ZipFile(agent).namelist()
    return [
        n[:-3].replace("/", ".").removesuffix(".__init__") for n in names if n.endswith(".py") and "__main__" not in n
    ]


def origin(module: object) -> str:
    # Frozen modules are in the interpreter, but for their packages' other parts.
    spec = getattr(module, "__spec__", None)
    return getattr(module, "__file__", None) or getattr(spec, "origin", None) or ""


def add(archive: zipfile.ZipFile, name: str, path: str, package: bool) -> None:
    inside = name.replace(".", "/") + ("/__init__" if package else "") + ".py"
    code = compile(pathlib.Path(path).read_bytes(), inside, "exec", dont_inherit=True, optimize=2)
    flags = struct.pack("<LQ", 0b01, 0)  # by hash, and never checked against a source that is not there
    data = importlib.util.MAGIC_NUMBER + flags + marshal.dumps(code)
    archive.writestr(zipfile.ZipInfo(inside + "c", (2026, 11, 1, 0, 0, 0)), data)


main()
