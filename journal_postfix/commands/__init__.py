"""The commands, by what they are for: running the pipeline, looking at its result, operating it."""
