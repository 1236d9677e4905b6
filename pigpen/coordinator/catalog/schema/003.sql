-- The bytes of properties count as the account's.
UPDATE accounts SET used = used + coalesce((
  SELECT sum(length(CAST(p.namespace || p.name || p.value AS BLOB)))
  FROM nodes n JOIN properties p ON p.node_id = n.id WHERE n.account_id = accounts.id
), 0);
