"""Rules over SQL, in threads: the catalog's of a coordinator, and the sidecar's of a gateway."""
