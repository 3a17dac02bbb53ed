"""nginx's configuration: nginx sends the files, the boot service decides who gets them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bmk.boot.ipxe import IMAGE, INITRD, KERNEL

# Name below /install/<grant>/ -> name of the artifact.
INSTALLER = {KERNEL: "install-kernel", INITRD: "install-initrd", IMAGE: "node-image"}

_TEMPLATE = """\
# Written by bmk; changes here are lost. Every location but /files/ and the loaders asks the boot service first.
daemon off;
{user}worker_processes auto;
worker_rlimit_nofile 16384;
pid "{boot}/nginx.pid";
error_log "{boot}/nginx-error.log" warn;

events {{
    worker_connections 4096;
}}

http {{
    default_type application/octet-stream;
    log_format bmk '$time_iso8601 $remote_addr "$request" $status $body_bytes_sent $request_time';
    access_log "{boot}/nginx-access.log" bmk;
    server_tokens off;
    sendfile on;
    tcp_nopush on;
    # An image stream is long; a client that takes nothing for a minute is gone.
    send_timeout 60s;
    keepalive_timeout 30s;
    client_max_body_size 1m;
    # Headers and body come at once from an honest machine.
    client_header_timeout 10s;
    client_body_timeout 10s;
    reset_timedout_connection on;

    # Limits are per address. This machine's own has none: all hosts that a lab plays ask from it.
    geo $bmk_limited {{
        default 1;
        127.0.0.0/8 0;
        {address} 0;
    }}
    map $bmk_limited $bmk_client {{
        1 $binary_remote_addr;
        default "";
    }}
    limit_req_zone $bmk_client zone=bmk_questions:10m rate=20r/s;
    limit_conn_zone $bmk_client zone=bmk_connections:10m;

    client_body_temp_path "{boot}/nginx-body";
    proxy_temp_path "{boot}/nginx-proxy";
    fastcgi_temp_path "{boot}/nginx-fastcgi";
    uwsgi_temp_path "{boot}/nginx-uwsgi";
    scgi_temp_path "{boot}/nginx-scgi";

    upstream boot_service {{
        server {service};
        keepalive 64;
    }}

    server {{
        listen {address}:{port} backlog=4096;
        autoindex off;
        limit_conn bmk_connections 64;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $host;
        proxy_set_header X-Real-IP $remote_addr;
        proxy_connect_timeout 5s;
        proxy_read_timeout 60s;

        location = /boot/ipxe {{
            limit_req zone=bmk_questions burst=40 nodelay;
            proxy_pass http://boot_service;
        }}

        location = /healthz {{
            limit_req zone=bmk_questions burst=40 nodelay;
            proxy_pass http://boot_service;
        }}

        # The first stage for UEFI HTTP boot. It does nothing but ask /boot/ipxe.
        location /boot/loader/ {{
            alias "{loaders}/";
        }}

        location /agent/ {{
            limit_req zone=bmk_questions burst=40 nodelay;
            proxy_pass http://boot_service;
        }}

        # The installer's bytes: only for the machine of an open grant, and only the file that the service names. Why a
        # machine is refused stands in the journal; it is told nothing that it could say the next time.
        location ~ "^/install/[0-9A-Za-z_-]{{1,64}}/({names})$" {{
            limit_except GET {{
                deny all;
            }}
            limit_req zone=bmk_questions burst=40 nodelay;
            auth_request /authorize;
            auth_request_set $bmk_file $upstream_http_x_bmk_file;
            alias "{files}/$bmk_file";
        }}

        location = /authorize {{
            internal;
            proxy_pass http://boot_service;
            proxy_pass_request_body off;
            # Setting one header here drops those that the server block sets: all again.
            proxy_set_header Connection "";
            proxy_set_header Content-Length "";
            proxy_set_header Host $host;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Original-URI $request_uri;
        }}

        # The mirror: what a node installs once it is a node. The installer and its image are not among it.
        location /files/ {{
            limit_except GET {{
                deny all;
            }}
            location ~ "/({artifacts})" {{
                return 403;
            }}
{denied}            alias "{files}/";
        }}

        location / {{
            return 404;
        }}
    }}
}}
"""


_DENIED = """\
            location = "/files/{path}" {{
                return 403;
            }}
"""


@dataclass(frozen=True, slots=True)
class NginxServer:
    """Where nginx listens and what it serves.

    `boot`: its own directory; `files`: the mirror's; `loaders`: iPXE's; `service`: host:port or unix:/path.
    `user` None: workers run as the master's user.
    """

    address: str
    port: int
    boot: Path
    files: Path
    service: str
    loaders: Path
    user: str | None = None


def render(server: NginxServer, installer_paths: Iterable[str] = ()) -> str:
    """nginx.conf. `installer_paths`: the installer's artifacts below `files`; they are not served as files."""
    return _TEMPLATE.format(
        user=f"user {server.user};\n" if server.user else "",
        boot=server.boot,
        loaders=server.loaders,
        service=server.service,
        address=server.address,
        port=server.port,
        names="|".join(re.escape(name) for name in INSTALLER),
        artifacts="|".join(INSTALLER.values()),
        files=server.files,
        denied="".join(_DENIED.format(path=path) for path in sorted(installer_paths)),
    )
