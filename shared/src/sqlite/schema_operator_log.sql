-- What operators did (`shared::operator_log`): a few rows a day.
CREATE TABLE operator_log (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    operator TEXT NOT NULL,
    act TEXT NOT NULL,
    details TEXT NOT NULL
) STRICT;
