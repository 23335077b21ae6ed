"""How the recommended index answers queries with filters: measured band by band, searched or scanned."""
