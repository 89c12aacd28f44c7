"""What the machine draws: meters behind one protocol, sampled beside the run, as energy per frame."""
