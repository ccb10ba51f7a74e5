-- Generations of the projection: one row, which says which of them is live; and the offset at which each but the first begins after a
-- restart. The tables of a generation are made when it is begun.
CREATE TABLE projection (
    id INTEGER PRIMARY KEY CHECK (id = 0), projection TEXT NOT NULL
) STRICT;
CREATE TABLE log_committed_by_generation (
    generation INTEGER PRIMARY KEY, offset INTEGER NOT NULL
) STRICT;
