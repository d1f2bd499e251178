"""A real Postfix on loopback, with peers of our own: mail goes through it, and what must become of each is known."""
