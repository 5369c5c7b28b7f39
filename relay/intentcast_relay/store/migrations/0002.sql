-- A domain stands behind one session of a demand at a time: sha256(D ‖ domain), where that was the rung climbed.
ALTER TABLE admission ADD COLUMN domain BLOB;
CREATE INDEX admission_domain ON admission (domain) WHERE domain IS NOT NULL;

-- How many sessions an invitation has admitted here.
CREATE TABLE invitation (
    id    BLOB    PRIMARY KEY,
    used  INTEGER NOT NULL,
    until INTEGER NOT NULL       -- s, when it admits nobody any more
) STRICT, WITHOUT ROWID;
CREATE INDEX invitation_until ON invitation (until);

-- Domains that named a vendor's key when this relay looked.
CREATE TABLE domain_proof (
    key     BLOB    PRIMARY KEY,
    domain  TEXT    NOT NULL,
    seen    INTEGER NOT NULL,    -- s
    expires INTEGER NOT NULL     -- s
) STRICT, WITHOUT ROWID;
CREATE INDEX domain_proof_expires ON domain_proof (expires);
