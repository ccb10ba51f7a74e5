-- Shipments with parked events, of all generations: few, and for a short time. A row is written with the state that says so.
CREATE TABLE parked_shipments (
    generation TEXT NOT NULL,
    id INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (generation, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX parked_shipments_by_time ON parked_shipments (generation, until);
