"""Run the benchmark: `make bench`, or `python -m benchmarks --help`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.cases import (
    CLOUD_CASES,
    FACE_CASES,
    GATEWAY_CASES,
    HTTP_CASES,
    STORE_CASES,
    Case,
    Scale,
)
from benchmarks.peers import MakePeer, Peer
from benchmarks.peers.apache import Apache
from benchmarks.peers.nginx import Nginx
from benchmarks.peers.pigpen import PigpenCloud, PigpenHost
from benchmarks.peers.rclone import Rclone
from benchmarks.peers.seaweedfs import Seaweed
from benchmarks.peers.tahoe import Tahoe
from benchmarks.peers.webdav import PigpenFace, PigpenGateway
from benchmarks.process import LOAD_CORE, SERVER_CORE, NotMeasured, peak_mib, reset_peak
from benchmarks.report import Figure, Outcome, table, write_json

HTTP_PEERS: Sequence[MakePeer] = (PigpenHost, Nginx, Apache, Rclone)
CLOUD_PEERS: Sequence[MakePeer] = (PigpenCloud, Tahoe, Seaweed)
STORE_PEERS: Sequence[MakePeer] = (PigpenCloud, Apache)
GATEWAY_PEERS: Sequence[MakePeer] = (PigpenGateway, Apache, Nginx, Rclone)
FACE_PEERS: Sequence[MakePeer] = (PigpenFace, Apache)
RESULTS = Path(__file__).parent / "results"
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}


def size(text: str) -> int:
    """``64M`` in bytes."""
    digits, unit = (text[:-1], text[-1].upper()) if text[-1:].isalpha() else (text, "")
    return int(digits) * _UNITS[unit]


def options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", default="", metavar="CASE,CASE", help="cases that begin so")
    parser.add_argument("--peers", default="", metavar="PEER,PEER", help="these peers only")
    parser.add_argument("--quick", action="store_true", help="small and short: to try it out")
    parser.add_argument("--big", type=size, metavar="SIZE", help="the large file {1G}")
    parser.add_argument("--seconds", type=float, help="for each measurement of many requests {5}")
    parser.add_argument("--rounds", type=int, help="each number is the median of so many {3}")
    parser.add_argument("--keys", type=int, help="keys in the catalog for redirects {100000}")
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"),
                        help="on the disk that is measured {/var/tmp}")  # fmt: skip
    return parser.parse_args(arguments)


def scale_of(chosen: argparse.Namespace, folder: Path) -> Scale:
    quick = chosen.quick
    return Scale(
        folder=folder,
        big_bytes=chosen.big or (2**26 if quick else 2**30),
        seconds=chosen.seconds or (1 if quick else 5),
        rounds=chosen.rounds or (1 if quick else 3),
        keys=chosen.keys or (1_000 if quick else 100_000),
        members=1_000 if quick else 10_000,
    )


class Bench:
    """Groups of peers that stay up while each case asks them in turn.

    Taking turns, round by round, spreads the machine's moods over all of them.
    """

    def __init__(self, scale: Scale, cases: str, peers: str) -> None:
        self._scale = scale
        self._cases = cases
        self._peers = peers
        self.outcomes: list[Outcome] = []

    def run(self, makers: Sequence[MakePeer], cases: Sequence[Case]) -> None:
        """Measure those cases and peers that are wanted."""
        peers = [peer for peer in (make() for make in makers) if _is_wanted(peer.name, self._peers)]
        wanted = [case for case in cases if _is_wanted(case.name, self._cases)]
        if not wanted:
            return
        with ExitStack() as stack:
            absent = {}
            for peer in peers:
                stack.callback(peer.stop)
                try:
                    peer.start(self._folder(cases[0].name, peer))
                except NotMeasured as reason:
                    absent[peer.name] = str(reason)
                    peer.stop()
            self.outcomes += [self._measure(case, peers, absent) for case in wanted]

    def _folder(self, group: str, peer: Peer) -> Path:
        folder = self._scale.folder / f"{group}-{peer.name}"
        folder.mkdir()
        return folder

    def _measure(self, case: Case, peers: Sequence[Peer], absent: dict[str, str]) -> Outcome:
        figures = [Figure(peer.name, not_measured=absent.get(peer.name, "")) for peer in peers]
        for number in range(self._scale.rounds):
            print(f"{case.name}, round {number + 1} ...", file=sys.stderr, flush=True)
            for peer, figure in zip(peers, figures, strict=True):
                if not figure.not_measured:
                    self._once(case, peer, figure)
        return Outcome(case, figures)

    def _once(self, case: Case, peer: Peer, figure: Figure) -> None:
        reset_peak(peer.processes)
        try:
            number, figure.remark = case.measure(peer, self._scale)
        except NotMeasured as reason:
            figure.not_measured = str(reason)
            figure.numbers.clear()
        else:
            figure.numbers.append(number)
            figure.memory_mib = max(figure.memory_mib, peak_mib(peer.processes))


def _is_wanted(name: str, words: str) -> bool:
    return any(name.lower().startswith(word.strip().lower()) for word in words.split(","))


def main(arguments: Sequence[str]) -> int:
    chosen = options(arguments)
    began = time.time()
    with tempfile.TemporaryDirectory(prefix="pigpen-bench-", dir=chosen.folder) as name:
        folder = Path(name)
        folder.chmod(0o755)  # Apache reads as its own user
        scale = scale_of(chosen, folder)
        bench = Bench(scale, chosen.only, chosen.peers)
        bench.run(HTTP_PEERS, HTTP_CASES)
        bench.run(STORE_PEERS, STORE_CASES)
        bench.run(CLOUD_PEERS, CLOUD_CASES)
        bench.run(GATEWAY_PEERS, GATEWAY_CASES)
        bench.run(FACE_PEERS, FACE_CASES)
    facts: dict[str, object] = {
        "started": int(began),
        "took_seconds": round(time.time() - began),
        "big_bytes": scale.big_bytes,
        "seconds": scale.seconds,
        "rounds": scale.rounds,
        "keys": scale.keys,
    }
    print(table(bench.outcomes))
    print(f"\nLarge file: {scale.big_bytes >> 20} MiB. Servers on core {SERVER_CORE}, "
          f"load on core {LOAD_CORE}. Memory: peak, all processes of a server.")  # fmt: skip
    if SERVER_CORE == LOAD_CORE:
        print("This machine has one core: server and load share it, so all figures are low.")
    result = RESULTS / time.strftime("%Y%m%d-%H%M%S.json", time.gmtime(began))
    write_json(result, bench.outcomes, facts)
    print(f"written to {result}")
    return 1 if _lacks_pigpen(bench.outcomes) else 0


def _lacks_pigpen(outcomes: Sequence[Outcome]) -> bool:
    """Whether pigpen itself could not be measured; the others are optional."""
    figures = [figure for outcome in outcomes for figure in outcome.figures]
    return any(figure.peer == "pigpen" and not figure.numbers for figure in figures)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
