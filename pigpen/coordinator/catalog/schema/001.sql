-- The catalog of a coordinator (CLD-100). Ids are 63-bit numbers, drawn again on conflict: random,
-- or 43 bits of time and 20 random ones, so that rows made together share pages (`Transaction`);
-- times are milliseconds since 1970, sizes bytes. Foreign keys only to accounts.

CREATE TABLE schema_version (
  number INTEGER PRIMARY KEY
) STRICT;

CREATE TABLE accounts (
  id INTEGER PRIMARY KEY,
  login TEXT NOT NULL UNIQUE,
  state INTEGER NOT NULL,
  root_id INTEGER NOT NULL,
  quota INTEGER,
  used INTEGER NOT NULL,
  reserved INTEGER NOT NULL,
  objects INTEGER NOT NULL,
  min_copies INTEGER NOT NULL,
  target_copies INTEGER NOT NULL,
  max_copies INTEGER NOT NULL,
  created INTEGER NOT NULL
) STRICT;

CREATE TABLE access_keys (
  id TEXT PRIMARY KEY,
  account_id INTEGER NOT NULL REFERENCES accounts (id),
  parent_id TEXT,
  label TEXT NOT NULL,
  secret_sha256 BLOB NOT NULL,
  methods TEXT,
  prefix BLOB,
  max_bytes INTEGER,
  not_after INTEGER,
  created INTEGER NOT NULL,
  last_used INTEGER,
  revoked INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX access_keys_account ON access_keys (account_id);

-- A collection has no version and sort_name = name + '/'. A root has no parent; a deleted
-- collection hangs below parent 0, under its own id, until it is swept.
-- same_second: the version before had the same Last-Modified, so no date tells them apart (DAV-32).
CREATE TABLE nodes (
  id INTEGER PRIMARY KEY,
  account_id INTEGER NOT NULL REFERENCES accounts (id),
  parent_id INTEGER,
  name BLOB NOT NULL,
  sort_name BLOB NOT NULL,
  version_id INTEGER,
  created INTEGER NOT NULL,
  modified INTEGER NOT NULL,
  same_second INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX nodes_name ON nodes (parent_id, name);
CREATE INDEX nodes_order ON nodes (parent_id, sort_name);

CREATE TABLE versions (
  id INTEGER PRIMARY KEY,
  account_id INTEGER NOT NULL REFERENCES accounts (id),
  node_id INTEGER NOT NULL,
  blob_id BLOB NOT NULL,
  content_type TEXT NOT NULL,
  created INTEGER NOT NULL,
  ended INTEGER
) STRICT;
CREATE INDEX versions_node ON versions (node_id);
CREATE INDEX versions_blob ON versions (blob_id);
CREATE INDEX versions_ended ON versions (ended) WHERE ended IS NOT NULL;

-- data: the bytes themselves, if at most 4 KiB; scheme: 'inline' if no host has them too.
CREATE TABLE blobs (
  id BLOB PRIMARY KEY,
  length INTEGER NOT NULL,
  sha256 BLOB NOT NULL,
  scheme TEXT NOT NULL,
  data BLOB,
  created INTEGER NOT NULL
) STRICT;

-- Beyond CLD-100: instance tells a restart from a copied folder (CLD-70), reserved counts in room
-- (CLD-60), created gives the first day (CLD-61), pin is of a certificate that strangers do not
-- trust (CLD-42).
CREATE TABLE hosts (
  id INTEGER PRIMARY KEY,
  owner_id INTEGER NOT NULL REFERENCES accounts (id),
  key_sha256 BLOB NOT NULL,
  epoch INTEGER NOT NULL,
  instance TEXT NOT NULL,
  state INTEGER NOT NULL,
  since INTEGER NOT NULL,
  seen INTEGER NOT NULL,
  zone TEXT NOT NULL,
  network TEXT NOT NULL,
  addresses TEXT NOT NULL,
  target_size INTEGER NOT NULL,
  free_floor INTEGER NOT NULL,
  used INTEGER NOT NULL,
  reserved INTEGER NOT NULL,
  disk_free INTEGER NOT NULL,
  score INTEGER NOT NULL,
  created INTEGER NOT NULL,
  pin TEXT
) STRICT;
CREATE INDEX hosts_owner ON hosts (owner_id);

CREATE TABLE replicas (
  blob_id BLOB NOT NULL,
  host_id INTEGER NOT NULL,
  state INTEGER NOT NULL,
  verified INTEGER NOT NULL,
  PRIMARY KEY (blob_id, host_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX replicas_host ON replicas (host_id, blob_id);

-- Beyond CLD-100: modified is the time a writer set (DAV-54), digest the SHA-256 it announced, hosts
-- are those that were offered, for resuming at the same one (CLD-37); error and committed repeat the answer for 7 days (CLD-33).
CREATE TABLE pending_writes (
  id BLOB PRIMARY KEY,
  account_id INTEGER NOT NULL REFERENCES accounts (id),
  path BLOB NOT NULL,
  blob_id BLOB NOT NULL,
  base_version INTEGER,
  conditions TEXT NOT NULL,
  content_type TEXT NOT NULL,
  length INTEGER,
  modified INTEGER,
  digest BLOB,
  hosts TEXT NOT NULL,
  state INTEGER NOT NULL,
  status INTEGER,
  error TEXT,
  version_id INTEGER,
  committed INTEGER,
  expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX pending_writes_expires ON pending_writes (expires);

CREATE TABLE properties (
  node_id INTEGER NOT NULL,
  namespace TEXT NOT NULL,
  name TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (node_id, namespace, name)
) STRICT, WITHOUT ROWID;

-- owner: XML as sent. Beyond CLD-100: account_id, as every change asks for the locks near it.
CREATE TABLE locks (
  token TEXT PRIMARY KEY,
  account_id INTEGER NOT NULL REFERENCES accounts (id),
  node_id INTEGER NOT NULL,
  depth INTEGER NOT NULL,
  exclusive INTEGER NOT NULL,
  principal TEXT NOT NULL,
  owner TEXT NOT NULL,
  expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX locks_node ON locks (node_id);
CREATE INDEX locks_account ON locks (account_id);

CREATE TABLE repairs (
  blob_id BLOB PRIMARY KEY,
  copies INTEGER NOT NULL,
  due INTEGER NOT NULL,
  tries INTEGER NOT NULL,
  holder TEXT,
  lease INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX repairs_order ON repairs (copies, due);

CREATE TABLE host_sessions (
  host_id INTEGER PRIMARY KEY,
  coordinator TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  expires INTEGER NOT NULL
) STRICT;

CREATE TABLE leases (
  name TEXT PRIMARY KEY,
  holder TEXT NOT NULL,
  expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
