-- seq is the relay's order of acceptance; AUTOINCREMENT so that a number is never given twice, even after deletion.
CREATE TABLE record (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    id        BLOB    NOT NULL UNIQUE,
    type      TEXT    NOT NULL,
    author    BLOB    NOT NULL,
    recipient BLOB,              -- of a sealed record: the mailbox; NULL for public records
    created   INTEGER NOT NULL,  -- s
    expires   INTEGER NOT NULL,  -- s
    cells     TEXT    NOT NULL,  -- the topic's geohash cells, separated by spaces
    countries TEXT    NOT NULL,
    payload   BLOB    NOT NULL,
    signature BLOB    NOT NULL
) STRICT;

CREATE UNIQUE INDEX record_newest ON record (author, type) WHERE recipient IS NULL;
CREATE INDEX record_type ON record (type, seq) WHERE recipient IS NULL;
CREATE INDEX record_mailbox ON record (recipient, seq) WHERE recipient IS NOT NULL;
CREATE INDEX record_expires ON record (expires);

-- The categories of public records, for stored queries by category and all below it.
CREATE TABLE topic (
    category TEXT    NOT NULL,
    seq      INTEGER NOT NULL,
    PRIMARY KEY (category, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX topic_seq ON topic (seq);

-- Which session key may write to which demand's mailbox, and back; of the vendor nothing else is kept.
CREATE TABLE admission (
    person  BLOB    NOT NULL,
    session BLOB    NOT NULL,
    until   INTEGER NOT NULL,    -- s
    stopped INTEGER NOT NULL,    -- 1 once the person refused this session's writes
    PRIMARY KEY (person, session)
) STRICT, WITHOUT ROWID;
CREATE INDEX admission_until ON admission (until);

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
