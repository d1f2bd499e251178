"""``replay``: ``postfix.raw`` once more, with the present parser, beside the running workers."""
