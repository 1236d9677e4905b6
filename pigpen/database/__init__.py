"""An SQLite file under rules that run in threads: the catalog's, and the sidecar's of a gateway."""
