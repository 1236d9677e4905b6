"""Faces: the HTTP server and client, mounts, and TLS."""
