"""``up``: every stage as a process of its own, started again when it dies, and none left behind."""
