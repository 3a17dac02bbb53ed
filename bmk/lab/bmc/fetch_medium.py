"""How a BMC of the lab fetches the image of a virtual medium: from its own address, as real ones do."""

from __future__ import annotations

import http.client
import urllib.parse

from bmk.lab.bmc.redfish_shape import Refused

LARGEST = 64 << 20  # bytes
PATIENCE = 30.0  # seconds without a byte


def fetch(url: str, address: str) -> bytes:
    """The image, requested from the source address `address`, which the server may check. Raises Refused."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise Refused("the image's URL is none that this BMC can use")
    connection = http.client.HTTPConnection(parts.hostname, parts.port, PATIENCE, source_address=(address, 0))
    try:
        connection.request("GET", parts.path)
        answer = connection.getresponse()
        image = answer.read(LARGEST + 1)
    except (OSError, http.client.HTTPException) as error:
        raise Refused(f"the image cannot be fetched: {error}") from None
    finally:
        connection.close()
    if answer.status != http.client.OK or not 0 < len(image) <= LARGEST:
        raise Refused(f"the image cannot be fetched: status {answer.status}, {len(image)} bytes")
    return image
