"""The read side: searches over what the sink has stored, for the command line and for pages."""
