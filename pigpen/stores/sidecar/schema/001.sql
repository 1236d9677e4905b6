-- The sidecar of a gateway (DAV-7): what the store itself does not keep. A name is a path, not
-- encoded, that begins with a slash; a collection's ends in one too, so that names sort as
-- listings do, and all below "/a/" lies between it and "/a0". Times are ms since 1970.

CREATE TABLE schema_version (
  number INTEGER PRIMARY KEY
) STRICT;

-- etag: the version these times are of; another writer's version is not described by them.
-- A collection has none. Collections above an entry have entries too.
CREATE TABLE entries (
  name TEXT PRIMARY KEY,
  parent TEXT NOT NULL,
  etag TEXT,
  created INTEGER NOT NULL,
  modified INTEGER NOT NULL,
  same_second INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX entries_parent ON entries (parent, name);

-- Whoever has properties has an entry.
CREATE TABLE properties (
  name TEXT NOT NULL,
  namespace TEXT NOT NULL,
  local_name TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (name, namespace, local_name)
) STRICT, WITHOUT ROWID;

-- place: the name without a final slash; collection: whether it has one.
CREATE TABLE locks (
  token TEXT PRIMARY KEY,
  place TEXT NOT NULL,
  collection INTEGER NOT NULL,
  infinite INTEGER NOT NULL,
  exclusive INTEGER NOT NULL,
  principal TEXT NOT NULL,
  owner TEXT NOT NULL,
  expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX locks_place ON locks (place);
CREATE INDEX locks_expires ON locks (expires);

-- How many there are, as counting them takes long.
CREATE TABLE lock_count (
  number INTEGER NOT NULL
) STRICT;
INSERT INTO lock_count (number) VALUES (0);
CREATE TRIGGER locks_begun AFTER INSERT ON locks BEGIN
  UPDATE lock_count SET number = number + 1;
END;
CREATE TRIGGER locks_ended AFTER DELETE ON locks BEGIN
  UPDATE lock_count SET number = number - 1;
END;

-- DELETE, COPY and MOVE under way: what a restart finishes or undoes; a JSON value each.
CREATE TABLE jobs (
  id INTEGER PRIMARY KEY,
  job TEXT NOT NULL
) STRICT;
