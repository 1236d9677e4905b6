"""Apache: event MPM, one server process of 64 threads, PUT by mod_dav (Debian: apache2)."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.peers import FileServer
from benchmarks.process import NotMeasured, Process, free_ports

_MODULES = Path("/usr/lib/apache2/modules")
_CONFIGURATION = """
ServerRoot {folder}
ServerName 127.0.0.1
PidFile {folder}/apache.pid
DefaultRuntimeDir {folder}
ErrorLog {folder}/error.log
LogLevel error
Listen 127.0.0.1:{port}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule dav_module {modules}/mod_dav.so
LoadModule dav_fs_module {modules}/mod_dav_fs.so
User www-data
Group www-data
StartServers 1
ServerLimit 1
ThreadsPerChild 64
ThreadLimit 64
MaxRequestWorkers 64
MinSpareThreads 1
MaxSpareThreads 64
MaxConnectionsPerChild 0
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 60
EnableSendfile On
LimitRequestBody 0
DocumentRoot {folder}/root
DavLockDB {folder}/lock/db
<Directory {folder}/root>
  Require all granted
  Dav On
  AllowOverride None
</Directory>
"""


class Apache(FileServer):
    name = "Apache"
    lock_connections = 1  # over several it answers 500, and its database of locks is damaged

    def start(self, folder: Path) -> None:
        program = shutil.which("apache2") or shutil.which("apache2", path="/usr/sbin:/sbin")
        if program is None:
            raise NotMeasured("apt-get install apache2")
        (port,) = free_ports(1)
        self.prepare(folder)
        (folder / "lock").mkdir()
        for path in (self.root, self.root / "taken", folder / "lock"):
            shutil.chown(path, "www-data", "www-data")
        configuration = folder / "apache.conf"
        configuration.write_text(_CONFIGURATION.format(folder=folder, port=port, modules=_MODULES))
        command = [program, "-f", str(configuration), "-D", "FOREGROUND"]
        self.processes.append(Process(self.name, command, folder))
        self.url = f"http://127.0.0.1:{port}"
        self.processes[0].wait_for_port(port)
