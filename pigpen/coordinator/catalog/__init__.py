"""The catalog: accounts, namespace, locks, hosts and writes as rows, and the rules over them.

`database` runs functions of these modules inside transactions. Nothing here knows of HTTP.
"""
