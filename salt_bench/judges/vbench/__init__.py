"""VBench's dimensions, the same numbers on a modern stack: a pass over the frames, then arithmetic, one file each."""
