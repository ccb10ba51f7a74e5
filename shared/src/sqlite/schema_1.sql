-- Version 1. JSON columns hold what the code's own types serialise to; the columns beside them are what is searched.

-- The log: one partition, one table for each topic. The offset is the rowid, so an append goes to the end of the table.
CREATE TABLE log_events (
    offset INTEGER PRIMARY KEY, timestamp INTEGER NOT NULL, key BLOB, value BLOB, headers BLOB NOT NULL
) STRICT;
CREATE TABLE log_dead_letters (
    offset INTEGER PRIMARY KEY, timestamp INTEGER NOT NULL, key BLOB, value BLOB, headers BLOB NOT NULL
) STRICT;
CREATE TABLE log_changes (
    offset INTEGER PRIMARY KEY, timestamp INTEGER NOT NULL, key BLOB, value BLOB, headers BLOB NOT NULL
) STRICT;
-- One row: the offset that the processor begins with after a restart.
CREATE TABLE log_committed (
    id INTEGER PRIMARY KEY CHECK (id = 0), offset INTEGER NOT NULL
) STRICT;

-- A shipment in three: what lists search, in small rows and therefore few pages; what never changes; what every event changes.
-- They share the id, which grows with time, so shipments that are on their way together stand together.
CREATE TABLE shipments (
    id INTEGER PRIMARY KEY,
    tracking_number TEXT NOT NULL UNIQUE,
    client_id TEXT NOT NULL,
    service_type TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    current_status TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    offset INTEGER NOT NULL
) STRICT;
CREATE TABLE registrations (id INTEGER PRIMARY KEY, created TEXT NOT NULL) STRICT;
CREATE TABLE states (id INTEGER PRIMARY KEY, state TEXT NOT NULL) STRICT;
-- Lists: newest first, for everybody and for one client. Nothing in them changes after the creation.
CREATE INDEX shipments_by_time ON shipments (created_at, tracking_number);
CREATE INDEX shipments_by_client ON shipments (client_id, created_at, tracking_number);

-- `row_id` begins with the tracking number, so its index also gives all events of a shipment.
CREATE TABLE status_events (
    row_id TEXT NOT NULL UNIQUE,
    epoch INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    payload INTEGER NOT NULL,
    row TEXT NOT NULL
) STRICT;

CREATE TABLE users (
    username TEXT NOT NULL PRIMARY KEY,
    password_hash TEXT NOT NULL,
    role TEXT NOT NULL,
    client_id TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

-- One row: the next counter that nobody has, and the cipher's key.
CREATE TABLE number_lease (
    id INTEGER PRIMARY KEY CHECK (id = 0), next INTEGER NOT NULL, cipher_key BLOB NOT NULL
) STRICT;

-- One row, written at the start, and by the health check after a commit failed.
CREATE TABLE probe (
    id INTEGER PRIMARY KEY CHECK (id = 0), writes INTEGER NOT NULL
) STRICT;
