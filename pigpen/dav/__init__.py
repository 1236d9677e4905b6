"""WebDAV (RFC 4918, classes 1, 2 and 3) over any `Namespace`: one function per method."""
