"""Transaction: what the catalog's rules see of the database; `Catalog.read` and `write` run them."""

from pigpen.database.transaction import LAST_ID, RANDOM_BITS, Row, Transaction, Value

__all__ = ["LAST_ID", "RANDOM_BITS", "Row", "Transaction", "Value"]
