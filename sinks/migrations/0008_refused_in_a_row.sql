-- How many of the records before next_offset could not be stored, one after the other: a sink that halted because of too
-- many, and is started again, does not begin to count anew.

ALTER TABLE sink_positions ADD COLUMN refused_in_a_row integer NOT NULL DEFAULT 0;
