"""pigpen beside other servers, on this machine, in one run: see `python -m benchmarks --help`."""
