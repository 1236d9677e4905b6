"""The coordinator: catalog, accounts, namespace, placement, and redirects to hosts."""
