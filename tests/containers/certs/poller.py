"""Runs inside the lab's network: poller.py KUBECONFIG. Reads an object through the VIP, a new connection each time.

When its stdin closes it prints one line of JSON: requests, errors by what was said, the longest outage in seconds.
"""

from __future__ import annotations

import base64
import json
import re
import ssl
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

PAUSE = 0.05  # seconds between two requests


def main() -> None:
    text = Path(sys.argv[1]).read_text()
    parts = {name: base64.b64decode(value) for name, value in re.findall(r"(\S+-data): *(\S+)", text)}
    server = re.findall(r"server: *(\S+)", text)[0].strip("'\"")
    context = ssl.create_default_context(cadata=parts["certificate-authority-data"].decode())
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    with tempfile.NamedTemporaryFile(suffix=".pem") as pair:
        Path(pair.name).write_bytes(parts["client-certificate-data"] + parts["client-key-data"])
        context.load_cert_chain(pair.name)
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    say("polls")
    requests, errors, longest, good = 0, Counter[str](), 0.0, time.monotonic()
    while not over.wait(PAUSE):
        requests += 1
        said = ask(server, context)
        if said:
            errors[said] += 1
        else:
            longest, good = max(longest, time.monotonic() - good), time.monotonic()
    longest = max(longest, time.monotonic() - good)
    say(json.dumps({"requests": requests, "errors": errors, "longest": round(longest, 2)}))


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def ask(server: str, context: ssl.SSLContext) -> str:
    """What went wrong; "" when nothing did."""
    handlers = urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    try:
        with urllib.request.build_opener(*handlers).open(f"{server}/api/v1/namespaces/default", timeout=15) as answer:
            answer.read()
    except urllib.error.HTTPError as error:
        return f"HTTP {error.code}"
    except (OSError, ValueError) as error:
        return f"{type(error).__name__}: {getattr(error, 'reason', error)}"[:200]
    return ""


if __name__ == "__main__":
    main()
