-- What the operator decided: bans, allowances, limits, retention. A subject is a key (32 bytes) or a name.
CREATE TABLE rule (
    kind    TEXT    NOT NULL,
    subject ANY     NOT NULL,
    since   INTEGER NOT NULL,  -- s
    until   INTEGER,           -- s; NULL for a rule without an end
    value   INTEGER,           -- a limit's number, a retention's days
    note    TEXT    NOT NULL,  -- told to those whom a ban hits
    PRIMARY KEY (kind, subject)
) STRICT, WITHOUT ROWID;
