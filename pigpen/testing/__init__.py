"""The public test kit: a simulated world with clock, network, disks and faults.

``SimEnv()`` is one machine alone, ``World(seed).node(name)`` one of many. Both are an
`pigpen.env.Env`, so whatever runs on pigpen's own Env runs here, fast, and repeats exactly.
"""

from pigpen.testing.clock import NodeClock, SimClock
from pigpen.testing.disk import SimDisk
from pigpen.testing.env import SimEnv
from pigpen.testing.faults import Faults, Killed
from pigpen.testing.network import Network
from pigpen.testing.transport import SEND_BUFFER_BYTES, WINDOW_BYTES, SimTransport
from pigpen.testing.world import SimulationError, World, bury, quiet_burial

__all__ = [
    "SEND_BUFFER_BYTES",
    "WINDOW_BYTES",
    "Faults",
    "Killed",
    "Network",
    "NodeClock",
    "SimClock",
    "SimDisk",
    "SimEnv",
    "SimTransport",
    "SimulationError",
    "World",
    "bury",
    "quiet_burial",
]
