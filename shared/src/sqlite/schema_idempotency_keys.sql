-- Requests under an Idempotency-Key.

-- `id` is a hash of caller, route and key. The answer's columns are filled together; until then `plan` says what is being done.
CREATE TABLE idempotency_keys (
    id BLOB NOT NULL UNIQUE,
    fingerprint BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    lease_until INTEGER NOT NULL,
    plan BLOB NOT NULL,
    answer_status INTEGER,
    answer_headers TEXT,
    answer_body BLOB
) STRICT;
-- Those that have expired are cleared away.
CREATE INDEX idempotency_keys_by_expiry ON idempotency_keys (expires_at);
-- The start ends the leases of a process that was killed: few rows, without a look at the answers.
CREATE INDEX idempotency_keys_unanswered ON idempotency_keys (lease_until) WHERE answer_status IS NULL;
