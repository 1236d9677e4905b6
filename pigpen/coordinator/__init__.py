"""The coordinator: the catalog behind HTTP, placement, and redirects to hosts."""
