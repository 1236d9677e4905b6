"""nginx: one worker, sendfile, PUT by its dav module (Debian: nginx-light)."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.peers import FileServer
from benchmarks.process import NotMeasured, Process, free_ports

_CONFIGURATION = """
daemon off;
user root;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log error;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000000;
  client_max_body_size 0;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port} reuseport;
    root {folder}/root;
    location / {{ dav_methods PUT DELETE; create_full_put_path on; }}
  }}
}}
"""


class Nginx(FileServer):
    name = "nginx"

    def start(self, folder: Path) -> None:
        program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/sbin")
        if program is None:
            raise NotMeasured("apt-get install nginx-light")
        (port,) = free_ports(1)
        self.prepare(folder)
        configuration = folder / "nginx.conf"
        configuration.write_text(_CONFIGURATION.format(folder=folder, port=port))
        command = [program, "-e", str(folder / "start.log"), "-c", str(configuration)]
        self.processes.append(Process(self.name, command, folder))
        self.url = f"http://127.0.0.1:{port}"
        self.processes[0].wait_for_port(port)
