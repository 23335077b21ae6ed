"""Pages that open offline: one file with its charts, its figures and its code, for every job."""
