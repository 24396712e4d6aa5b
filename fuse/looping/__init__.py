"""Loops made less: what need not be repeated leaves them, what is not used goes, what is the same is done once."""
