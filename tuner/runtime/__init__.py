"""What a run stands on: machine, journal, timing, steps, child processes."""
