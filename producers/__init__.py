"""Raw lines in: one module for each kind of source, and what they share on the way to ``postfix.raw``."""
