-- Columns marked (sealed) hold ciphertext under the keystore's data key, bound to table, column and row.

CREATE TABLE draft (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  payload BLOB NOT NULL,            -- the exact bytes that casting signs
  secrets BLOB NOT NULL,            -- (sealed) seed of D, secret of the offer key, private limits
  made INTEGER NOT NULL
) STRICT;

CREATE TABLE demand (
  id BLOB PRIMARY KEY,
  number INTEGER NOT NULL UNIQUE,   -- d1, d2, … for people
  author BLOB NOT NULL UNIQUE,      -- D
  record BLOB NOT NULL,
  state TEXT NOT NULL,              -- open, withdrawn, agreed, expired
  expires INTEGER NOT NULL,
  seed BLOB,                        -- (sealed) of D
  offer_secret BLOB,                -- (sealed) erased when the demand closes
  private BLOB NOT NULL             -- (sealed) what never leaves: the reserve price
) STRICT;

CREATE TABLE session (
  number INTEGER PRIMARY KEY AUTOINCREMENT,  -- o1, o2, … for people
  key BLOB NOT NULL UNIQUE,         -- S
  role TEXT NOT NULL,               -- which side we are: person or vendor
  demand BLOB NOT NULL,
  vendor BLOB NOT NULL,             -- V
  demand_record BLOB NOT NULL,
  state TEXT NOT NULL,
  snapshot BLOB NOT NULL,           -- (sealed) what negotiation.write_session wrote
  seed BLOB,                        -- (sealed) of S, on the vendor's side
  peer_key BLOB NOT NULL,           -- what to seal the next message to
  relays TEXT NOT NULL,             -- JSON list
  wake INTEGER,                     -- when the clock may change the state
  restoring INTEGER NOT NULL DEFAULT 0,  -- 1 while a backup's gaps are being filled: nothing is signed
  changed INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX session_by_vendor ON session (demand, vendor, role);
CREATE INDEX session_by_wake ON session (wake) WHERE wake IS NOT NULL;

CREATE TABLE message (
  id BLOB PRIMARY KEY,
  session BLOB NOT NULL,
  author TEXT NOT NULL,             -- person or vendor
  seq INTEGER NOT NULL,
  type TEXT NOT NULL,
  record BLOB NOT NULL,             -- (sealed)
  sealed_to BLOB,                   -- our reply key it came to, if it came
  problem TEXT,                     -- the code it was answered with, if it had no effect
  processed INTEGER                 -- when; NULL while an earlier one is missing
) STRICT;
CREATE UNIQUE INDEX message_in_order ON message (session, author, seq) WHERE processed IS NOT NULL AND seq > 0;

CREATE TABLE evidence (             -- second messages under one number
  id BLOB PRIMARY KEY,
  session BLOB NOT NULL,
  record BLOB NOT NULL              -- (sealed)
) STRICT;

CREATE TABLE reply_key (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  public BLOB NOT NULL UNIQUE,
  session BLOB NOT NULL,
  secret BLOB NOT NULL,             -- (sealed)
  made INTEGER NOT NULL
) STRICT;

CREATE TABLE outbox (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  lane BLOB NOT NULL,               -- D, whose connection carries it, or empty for the vendor's
  message BLOB,                     -- the session message to seal, or NULL
  key BLOB,                         -- what to seal it to, where that is not the session's peer_key
  record BLOB,                      -- what goes out: a public record, or the envelope once sealed
  stamped INTEGER NOT NULL DEFAULT 0,
  made INTEGER NOT NULL
) STRICT;

CREATE TABLE delivery (
  outbox INTEGER NOT NULL REFERENCES outbox (number) ON DELETE CASCADE,
  relay TEXT NOT NULL,
  state TEXT NOT NULL DEFAULT 'queued',  -- queued, done, failed
  attempts INTEGER NOT NULL DEFAULT 0,
  due INTEGER NOT NULL DEFAULT 0,
  code TEXT,
  PRIMARY KEY (outbox, relay)
) STRICT, WITHOUT ROWID;
CREATE INDEX delivery_queued ON delivery (relay, due) WHERE state = 'queued';

CREATE TABLE inbox (                -- envelopes that had their effect, or were refused for good
  id BLOB PRIMARY KEY,
  expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE rejected (
  id BLOB PRIMARY KEY,
  demand BLOB,
  claimed TEXT NOT NULL,            -- the name the sender gives, unproven
  code TEXT NOT NULL,
  detail TEXT NOT NULL,
  at INTEGER NOT NULL
) STRICT;

CREATE TABLE agreement (
  id BLOB PRIMARY KEY,
  number INTEGER NOT NULL UNIQUE,   -- a1, a2, … for people
  session BLOB NOT NULL,
  bundle BLOB NOT NULL,             -- (sealed)
  at INTEGER NOT NULL
) STRICT;

CREATE TABLE ledger (               -- each release and each refusal
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  session BLOB NOT NULL,
  attribute TEXT NOT NULL,
  decision TEXT NOT NULL,           -- released, refused
  reason TEXT NOT NULL,
  message BLOB,
  at INTEGER NOT NULL
) STRICT;

CREATE TABLE errand (               -- what is to be done later
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL,
  subject BLOB NOT NULL,
  due INTEGER NOT NULL
) STRICT;

CREATE TABLE private (              -- what the person or vendor told the agent about themselves
  name TEXT PRIMARY KEY,
  value BLOB NOT NULL               -- (sealed)
) STRICT, WITHOUT ROWID;

CREATE TABLE place (                -- how far a relay's public records were read
  relay TEXT PRIMARY KEY,
  epoch BLOB NOT NULL,
  seq INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE stock (
  sku TEXT PRIMARY KEY,
  feed TEXT NOT NULL,
  item TEXT NOT NULL,               -- JSON, schema.org
  price TEXT NOT NULL,
  currency TEXT NOT NULL,
  quantity INTEGER NOT NULL,
  listed INTEGER,
  unit TEXT                         -- UN/ECE code when the price recurs, e.g. MON
) STRICT, WITHOUT ROWID;

CREATE TABLE reservation (
  session BLOB PRIMARY KEY,
  sku TEXT NOT NULL,
  at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX reservation_by_sku ON reservation (sku);

CREATE TABLE answered (             -- what became of each demand a vendor saw
  demand BLOB PRIMARY KEY,
  author BLOB NOT NULL,
  outcome TEXT NOT NULL,            -- offered, asked, passed
  reason TEXT NOT NULL,
  sku TEXT,
  session BLOB,
  expires INTEGER NOT NULL,
  at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX answered_by_session ON answered (session);
