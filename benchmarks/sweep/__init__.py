"""The tuner beside folklore, searches and the exhaustive oracle, each scored the same way."""
