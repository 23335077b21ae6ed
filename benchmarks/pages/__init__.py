"""Pages of real jobs in a real browser."""
