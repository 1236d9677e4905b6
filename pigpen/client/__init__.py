"""The client of a cloud: sessions, uploads, downloads, and the gateway over them."""
