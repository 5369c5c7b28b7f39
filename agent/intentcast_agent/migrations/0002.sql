-- Who may write first: what relays attest of a vendor's domain, whose word a person believes, and invitations.

CREATE TABLE relay_key (            -- each relay's own key, from its info document
  relay TEXT PRIMARY KEY,           -- its address
  key TEXT NOT NULL,                -- did:key
  seen INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE attestation (          -- what became of asking each relay to look at this vendor's domain
  relay TEXT PRIMARY KEY,
  domain TEXT NOT NULL,
  word BLOB,                        -- the newest attestation it gave, as encoded
  seen INTEGER,
  expires INTEGER,
  reason TEXT,                      -- why the last asking got none; NULL when it did
  attempts INTEGER NOT NULL DEFAULT 0,  -- in vain, one after the other
  due INTEGER NOT NULL              -- when to ask again
) STRICT, WITHOUT ROWID;

CREATE TABLE acceptance (           -- what each accept of this person rested on
  message BLOB PRIMARY KEY,
  session BLOB NOT NULL,
  decision TEXT NOT NULL,           -- witnessed, by relays; or said so, by the person
  reason TEXT NOT NULL,
  at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE invitation (
  number INTEGER PRIMARY KEY AUTOINCREMENT,  -- i1, i2, … for people
  id BLOB NOT NULL UNIQUE,          -- of the chain's last link
  role TEXT NOT NULL,               -- made, by this person; held, by this vendor; passed, on by this vendor
  demand BLOB NOT NULL,             -- D
  chain BLOB NOT NULL,              -- (sealed) it names who is invited
  until INTEGER NOT NULL,
  at INTEGER NOT NULL
) STRICT;
CREATE INDEX invitation_by_demand ON invitation (demand);

CREATE TABLE kept (                 -- until when relays were told to keep the mailboxes of an agreement
  session BLOB NOT NULL,
  relay TEXT NOT NULL,
  due INTEGER NOT NULL,             -- when to say so again
  PRIMARY KEY (session, relay)
) STRICT, WITHOUT ROWID;

-- The demand itself, where only a proof was missing that may still come.
ALTER TABLE answered ADD COLUMN record BLOB;
