-- What an agent may do without asking, and what it did.

CREATE TABLE mandate (
  demand BLOB PRIMARY KEY,
  instructions BLOB NOT NULL,       -- (sealed) the mandate, the price to start from, the strategy, the private pace
  digest BLOB NOT NULL,             -- of the mandate: all of it that may be shown
  state TEXT NOT NULL,              -- at work, yours, agreed, ended, stopped
  reason BLOB NOT NULL,             -- (sealed) why it is no longer at work
  session BLOB,                     -- the offer that waits for the person, if one does
  started INTEGER NOT NULL,
  changed INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE act (                  -- each automatic act, and each that a mandate did not allow
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  demand BLOB NOT NULL,
  session BLOB NOT NULL,
  kind TEXT NOT NULL,               -- ask, counter, accept, decline
  decision TEXT NOT NULL,           -- allowed, person, denied
  clause TEXT NOT NULL,             -- of the mandate
  why BLOB NOT NULL,                -- (sealed)
  message BLOB,                     -- what was signed
  at INTEGER NOT NULL
) STRICT;
CREATE INDEX act_by_demand ON act (demand);

CREATE TABLE concession (           -- what each offer of this vendor gives away below the list price
  session BLOB PRIMARY KEY,
  currency TEXT NOT NULL,
  amount INTEGER NOT NULL,          -- in the currency's smallest unit
  until INTEGER NOT NULL,           -- while the offer stands
  dealt INTEGER                     -- when it was confirmed
) STRICT, WITHOUT ROWID;
CREATE INDEX concession_by_deal ON concession (dealt);

CREATE TABLE idempotency (          -- what each write over HTTP came to, so that a repeat does nothing twice
  key TEXT PRIMARY KEY,             -- the client's own
  request BLOB NOT NULL,            -- (sealed) hash of what was asked
  answer BLOB,                      -- (sealed) JSON; NULL while it is being done, or if the agent stopped meanwhile
  at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_by_age ON idempotency (at);
