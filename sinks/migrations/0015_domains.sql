-- An address's domain without a regular expression, which took a sink three microseconds for each row and index.

DROP INDEX delivery_from_sender_domain;
DROP INDEX delivery_to_recipient_domain;

CREATE INDEX delivery_from_sender_domain ON delivery_from (
    (CASE WHEN strpos(sender, '@') > 0 THEN lower(split_part(sender, '@', -1)) END), arrived_at
);
CREATE INDEX delivery_to_recipient_domain ON delivery_to (
    (CASE WHEN strpos(recipient, '@') > 0 THEN lower(split_part(recipient, '@', -1)) END), arrived_at
);
