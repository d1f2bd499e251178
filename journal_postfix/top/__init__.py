"""``top``: what the pipeline does now, as one picture that comes again and again."""
