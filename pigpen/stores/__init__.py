"""Stores: handlers that keep values, or pass them to another server."""
