"""A namespace over any store that can get, put, delete and list (DAV-7).

The store keeps the bytes, and nothing else. Beside it, in records of the gateway's own, lie
properties, locks, times and collections without members. Writers through this gateway are
serialised by key; what others store is found too, but locks do not stop them.

    claims           who may change which part of the tree now
    values           the store: one method, one request
    records          where rules over the records run; ``*_rows``: the rules
    finder           what a key names; `listing`: members
    preconditions    conditions, If, locks
    writing          PUT; `record_changes`: MKCOL, PROPPATCH; `locking`: LOCK, UNLOCK
    tree_changes     DELETE, COPY, MOVE; `worker`, `copy_phase`: their jobs, which a restart ends
    namespace        all of it as a Namespace
"""
