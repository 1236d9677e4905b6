"""A database at a PostgreSQL server, or at one that speaks its protocol and dialect."""
