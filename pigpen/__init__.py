"""pigpen: one cloud store of the free disk space of many machines, over plain HTTP and WebDAV."""

__version__ = "0.1.0"
