"""The loop of a run: moments in, fused frames out, one lane for each rig, one thread for all of them."""
