-- Messages that no recipient has been tried of are few, but were found only by comparing all messages with all recipients.
-- Rows of before keep NULL: a search looks for their recipients one by one, until a replay has filled them in.

ALTER TABLE delivery_from ADD COLUMN attempted_at timestamptz;

COMMENT ON COLUMN delivery_from.attempted_at IS
    'First attempt to deliver it, or first refusal of a recipient: it has rows in delivery_to since.';

-- A message is in it from its first row to its first attempt; what comes with one, which is most mail, never.
CREATE INDEX delivery_from_unattempted ON delivery_from (arrived_at) WHERE attempted_at IS NULL;
