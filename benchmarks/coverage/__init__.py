"""Is the recall that is promised kept, and what does the promise cost?"""
