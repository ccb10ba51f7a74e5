-- Codes of carriers that no mapping knows (`shared::unmapped_codes`): some thousand rows at most. `seen` says what it is, too: `code:…`, `text:…` or `rest`.
CREATE TABLE unmapped_codes (
    carrier TEXT NOT NULL,
    seen TEXT NOT NULL,
    text TEXT,
    count INTEGER NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    tracking_number TEXT NOT NULL,
    PRIMARY KEY (carrier, seen)
) STRICT, WITHOUT ROWID;
