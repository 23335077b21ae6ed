"""Does `tune diagnose` name the cause, and do its fixes hold?"""
