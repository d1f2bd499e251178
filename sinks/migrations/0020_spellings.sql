-- How rows spell a whole address or name, capital letters or not: one look for each search.
CREATE INDEX known_names_folded ON known_names (kind, lower(name));
