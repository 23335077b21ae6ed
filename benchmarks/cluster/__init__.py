"""Sweeps over shards on a small cluster of this machine: the same answer, whatever is lost on the way."""
