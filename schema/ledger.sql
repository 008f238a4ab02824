-- The event log: the only table of DATA/ledger.db. Rows never change and never go.
-- application_id is "aled"; user_version is the format. Anything else is another program's file, or a later version's.
PRAGMA application_id = 1634493796;
PRAGMA user_version = 1;

CREATE TABLE event (
  position  INTEGER PRIMARY KEY,         -- place in this file, over all origins: from 1, without gaps
  origin    TEXT    NOT NULL,            -- the log that the record belongs to
  sequence  INTEGER NOT NULL,            -- place in its origin: from 1, without gaps
  stored_at INTEGER NOT NULL,            -- this node's clock, milliseconds since 1970; not hashed
  record    TEXT    NOT NULL,            -- one JSON object, exactly the bytes that are hashed
  hash      BLOB    NOT NULL,            -- 32 bytes: the origin's chain up to and with this record
  UNIQUE (origin, sequence)
) STRICT;

CREATE TRIGGER event_is_never_changed BEFORE UPDATE ON event
BEGIN
  SELECT RAISE(ABORT, 'events are never changed');
END;

CREATE TRIGGER event_is_never_deleted BEFORE DELETE ON event
BEGIN
  SELECT RAISE(ABORT, 'events are never deleted');
END;

-- INSERT OR REPLACE deletes without the trigger above, so a place that is taken must not get that far.
CREATE TRIGGER event_comes_next BEFORE INSERT ON event
WHEN NEW.position IS NOT (SELECT coalesce(max(position), 0) + 1 FROM event)
  OR NEW.sequence IS NOT (SELECT coalesce(max(sequence), 0) + 1 FROM event WHERE origin = NEW.origin)
BEGIN
  SELECT RAISE(ABORT, 'the position or sequence is not the next one');
END;
