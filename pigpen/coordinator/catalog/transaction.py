"""What the catalog's rules see of the database: see `pigpen.database.transaction`."""

from pigpen.database.transaction import LAST_ID, RANDOM_BITS, Row, Transaction, Value

__all__ = ["LAST_ID", "RANDOM_BITS", "Row", "Transaction", "Value"]
