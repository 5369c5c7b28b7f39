-- How much waits in a mailbox is summed for each batch that writes to it: from the index alone.
DROP INDEX record_mailbox;
CREATE INDEX record_mailbox ON record (recipient, seq, length(payload)) WHERE recipient IS NOT NULL;
