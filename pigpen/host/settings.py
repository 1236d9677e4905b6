"""HostSettings: what a person decides about a host."""

from __future__ import annotations

from pigpen.http.wire import Private


class HostSettings(Private, kw_only=True, forbid_unknown_fields=True):
    """Sizes in bytes, times in seconds.

    ``addresses``: URLs under which clients and the coordinator reach this host. ``access_key``: of
    the account that owns it; needed for the first registration only. ``floor``: free disk to leave;
    None: 1 % of the disk, at least 256 MiB.
    """

    folder: str
    coordinator: str
    target_size: int
    addresses: list[str]
    access_key: str | None = None
    floor: int | None = None
    zone: str = ""
    pin: str | None = None
    #: files kept open for the next reader
    open_files: int = 256
    #: live expectations, in all and for one account
    max_expectations: int = 100_000
    max_account_expectations: int = 1_000
    #: how long transfers may go on when the host is stopped
    grace: float = 10
