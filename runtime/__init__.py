"""What runs on the vehicle: cameras in, fused frames out."""
