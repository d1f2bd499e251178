"""The sink stage: writes deliveries into PostgreSQL, together with how far their topics were read."""
