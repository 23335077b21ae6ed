"""Coverage-guided fuzzing of every reader of files: damage is a sentence, or is read without harm."""
