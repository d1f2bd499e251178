"""How results look: tables for people, JSON lines and CSV for programs."""
