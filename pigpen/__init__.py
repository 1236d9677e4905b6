"""pigpen: one cloud store of the free disk space of many machines, over plain HTTP."""

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """What programs use, imported when it is used: importing pigpen loads nothing else."""
    if name == "resource":
        from pigpen.tap import resource

        return resource
    raise AttributeError(f"module 'pigpen' has no attribute {name!r}")
