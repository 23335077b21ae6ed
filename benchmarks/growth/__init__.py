"""Does the recall that `tune diagnose` extrapolates to more rows come true?"""
