"""PayRail: a self-hosted payout engine; the money logic lives in PostgreSQL."""
