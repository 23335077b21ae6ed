"""Every engine tuned and verified on the same vectors."""
