"""Whether a run that was killed, or whose disk was full, goes on to the answer of an undisturbed one."""
