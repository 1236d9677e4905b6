"""The catalog as a `Namespace`, for faces such as WebDAV (DAV-5)."""
