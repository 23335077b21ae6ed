"""Trials of the recall gate: false alarms, drops of a known size, and planted faults."""
