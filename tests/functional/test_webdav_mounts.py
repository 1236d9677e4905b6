"""The gateway as a disk: davfs2 and `rclone mount`, with real FUSE mounts (DAV-112, DAV-114)."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import requests
from twisted.trial.unittest import SkipTest

from tests.functional.observing import until
from tests.functional.processes import run
from tests.functional.solo import free_ports
from tests.functional.webdav import WebDavCase

FILE = bytes(range(256)) * 4096 * 5
SECONDS = 30


def is_mounted(path: Path) -> bool:
    return f" {path} " in Path("/proc/mounts").read_text()


def text(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


class MountCase(WebDavCase):
    def setUp(self) -> None:
        if not os.access("/dev/fuse", os.W_OK):
            raise SkipTest("nothing can be mounted here: there is no /dev/fuse to write to")
        super().setUp()
        self.mount = self.folder / "m"
        self.mount.mkdir()

    def wait(self, mounted: bool) -> None:
        until(lambda: is_mounted(self.mount) is mounted, "the mount to come or go")

    def sh(self, command: str) -> str:
        """A shell's command line, in the mount."""
        done = run("sh", "-euc", f"cd {self.mount}\n{command}")
        assert done.returncode == 0, (command, done.stdout.decode(), done.stderr.decode())
        return done.stdout.decode()


class DavfsTests(MountCase):
    """By name: reading folders fails on some kernels with every server (EINVAL)."""

    def setUp(self) -> None:
        super().setUp()
        self.needs("mount.davfs")
        for folder in (self.folder, *self.folder.parents[:4]):
            folder.chmod(folder.stat().st_mode | 0o055)
        self.davfs(self.mount)

    def davfs(self, mount: Path) -> None:
        # its cache must be writable for its own group
        cache = self.folder / f"{mount.name}-cache"
        run("install", "-d", "-g", "davfs2", "-m", "775", str(cache))
        conf = self.folder / f"{mount.name}.conf"
        # no longer than a second it takes what it knows of a file for true
        conf.write_text(
            f"ask_auth 0\nuse_locks 1\ndelay_upload 0\ncache_dir {cache}\n"
            "file_refresh 0\ndir_refresh 1\n"
        )
        done = run("mount", "-t", "davfs", "-o", f"conf={conf},uid=0", self.url, str(mount))
        assert done.returncode == 0, done.stderr
        self.addCleanup(self.unmount, mount)

    def unmount(self, mount: Path) -> None:
        # the second, if a test that failed has left a file open
        for options in ((), ("-l",)):
            if is_mounted(mount):
                run("umount", *options, str(mount))

    def test_files(self) -> None:
        """A file that was copied and renamed is the same there and for others."""
        f = self.file("f", FILE)
        self.sh(f"cp {f} x; mv x y; cmp {f} y; mkdir d; cp y d/z; rm y")
        self.unmount(self.mount)
        assert self.get("d/z") == FILE

    def test_edit(self) -> None:
        """What was written last is there, also for another client, after the file is closed."""
        self.sh('echo one > a; echo two >> a; test "$(cat a)" = "$(printf \'one\\ntwo\')"')
        self.unmount(self.mount)
        assert self.get("a") == b"one\ntwo\n"

    def test_edits_of_others(self) -> None:
        """A file that one has open for writing is locked for others, and an edit made elsewhere
        meanwhile is what the next reader sees and the next writer adds to."""
        other = self.folder / "other"
        other.mkdir()
        self.davfs(other)
        (self.mount / "a").write_text("one\n")
        until(lambda: text(other / "a") == "one\n")
        with (self.mount / "a").open("a") as file:
            file.write("two\n")
            file.flush()
            answer = requests.put(self.url + "a", data="mine", timeout=30)
            assert answer.status_code == 423, answer.status_code
        until(lambda: self.get("a") == b"one\ntwo\n")
        until(lambda: requests.put(self.url + "a", data="one\nweb\n", timeout=30).ok)
        until(lambda: text(other / "a") == "one\nweb\n")
        with (other / "a").open("a") as file:
            file.write("three\n")
        until(lambda: self.get("a") == b"one\nweb\nthree\n")
        until(lambda: text(self.mount / "a") == "one\nweb\nthree\n")


class RcloneMountTests(MountCase):
    def setUp(self) -> None:
        super().setUp()
        self.needs("rclone", "git", "fusermount3")
        remote = f":webdav,url='{self.url}',vendor=owncloud:"
        self.control = f"127.0.0.1:{free_ports(1)[0]}"
        self.process = subprocess.Popen(
            ["rclone", "--config", "/dev/null", "mount", remote, str(self.mount),
             "--vfs-cache-mode=writes", "--rc", "--rc-no-auth", f"--rc-addr={self.control}",
             f"--cache-dir={self.folder / 'cache'}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / "rclone.log").open("wb"),
        )  # fmt: skip
        self.addCleanup(self.unmount)
        self.wait(True)

    def unmount(self) -> None:
        if self.process.poll() is None:
            run("fusermount3", "-u", str(self.mount))
            self.process.wait(SECONDS)

    def written_back(self, *names: str) -> None:
        """Until rclone has sent all, which it begins five seconds after a file was closed.

        It loses sight of files whose folder moves before that, whatever the server. A file is
        closed a moment after its program thinks so, so these names must be there too.
        """
        until(lambda: all(map(self.exists, names)), f"all of {names}")
        until(self.idle, "rclone to have sent all")

    def idle(self) -> bool:
        stats = requests.post(f"http://{self.control}/vfs/stats", timeout=10).json()["diskCache"]
        return not stats["uploadsInProgress"] and not stats["uploadsQueued"]

    def exists(self, name: str) -> bool:
        return requests.head(self.url + name, timeout=30).status_code == 200

    def repository(self) -> Path:
        """A small git repository with some history."""
        source = self.folder / "source"
        script = (
            f"git init -q {source}; cd {source}; git config user.email a@b; git config user.name a;"
            " for n in 1 2 3; do mkdir -p src/$n;"
            " for f in a b c d; do seq $n$n > src/$n/$f.txt; done;"
            " printf 'all:\\n\\tcat src/*/*.txt > out\\n' > Makefile; git add -A;"
            " git commit -qm c$n; done"
        )
        done = run("sh", "-euc", script)
        assert done.returncode == 0, done.stderr
        return source

    def test_git_clone(self) -> None:
        """git clones onto it, checks every object, builds, renames and deletes."""
        source = self.repository()
        self.sh(f"git clone -q --no-hardlinks {source} repo")
        self.sh("cd repo; git fsck --full --strict; git log --oneline | wc -l | grep -q 3")
        self.sh("cd repo; make; cat src/*/*.txt | cmp - out")
        files = (source / "src").rglob("*.txt")
        self.written_back(*(f"repo/{path.relative_to(source)}" for path in files))
        self.sh(
            "cd repo; mv src moved; test -e moved/3/d.txt; ! test -e src;"
            " ls moved | wc -l | grep -q 3"
        )
        self.sh(f"for n in 1 2 3; do diff -r {source}/src/$n repo/moved/$n; done")
        self.sh("rm -r repo/moved; ls repo; ! test -e repo/moved")
        built = self.sh("cat repo/out").encode()
        self.written_back("repo/out")
        assert self.get("repo/out") == built

    def test_large_file(self) -> None:
        """A large file comes back the same, whole and in parts."""
        f = self.file("f", FILE)
        self.sh(
            f"cp {f} x; cmp {f} x; dd if=x bs=1000 skip=500 count=3 status=none |"
            f" cmp -n 3000 - {f} 0 500000"
        )
        self.written_back("x")
        assert self.get("x") == FILE
        self.unmount()
        assert os.listdir(self.mount) == []
