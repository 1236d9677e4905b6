"""A database in a file: the catalog of most coordinators, and the sidecar of a gateway."""
