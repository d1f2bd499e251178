-- From which day on rows name people: what arrived before is stored, and by and by rewritten, with pseudonyms.

-- No row: everything names people. Two marks, so that sinks and a purge that was broken off agree at any moment: first
-- sinks write nothing clear any more, then the rows that are there are rewritten.
CREATE TABLE pseudonymised (
    before date NOT NULL,
    done   date,
    one    boolean PRIMARY KEY DEFAULT true CHECK (one),
    CHECK (done <= before)
);

COMMENT ON TABLE pseudonymised IS
    'How far retention.pseudonymise_days has come: older rows hold pseudonyms, made with the key of erasure_key.';
COMMENT ON COLUMN pseudonymised.before IS 'First day (UTC) of which sinks store what the log says. It never goes back.';
COMMENT ON COLUMN pseudonymised.done IS 'First day whose rows purge has not rewritten; none while it does the first.';
COMMENT ON COLUMN pseudonymised.one IS 'There is one.';
