"""Everything that crosses a boundary: records, keys, topics, settings, and the rules by which records merge."""
