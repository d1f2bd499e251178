-- People whose data was erased: what the topics still hold of them is not stored again.

-- Names no person: who has nothing but the database's rows can't tell whose digests these are.
CREATE TABLE erasures (
    digest    bytea PRIMARY KEY,
    erased_at timestamptz NOT NULL,
    how       text COLLATE "C" NOT NULL CHECK (how IN ('remove', 'pseudonymise'))
);

CREATE TABLE erasure_key (
    key bytea NOT NULL,
    one boolean PRIMARY KEY DEFAULT true CHECK (one)
);

INSERT INTO erasure_key (key) SELECT sha256((gen_random_uuid()::text || gen_random_uuid()::text)::bytea);

COMMENT ON TABLE erasures IS 'Addresses that journal-postfix erase took out: sinks leave out their older mail.';
COMMENT ON COLUMN erasures.digest IS 'HMAC-SHA-256 of the address in lower case, with the key of erasure_key.';
COMMENT ON COLUMN erasures.erased_at IS 'When. Mail that arrived later is stored as ever.';
COMMENT ON COLUMN erasures.how IS 'remove: without a trace; pseudonymise: under another name.';
COMMENT ON TABLE erasure_key IS 'What the digests of erasures and the pseudonyms are made with.';
COMMENT ON COLUMN erasure_key.key IS '32 random bytes of this installation.';
COMMENT ON COLUMN erasure_key.one IS 'There is one.';
