"""The stream stage: parses log lines, merges what they say of each message, and writes the rows in checkpoints."""
