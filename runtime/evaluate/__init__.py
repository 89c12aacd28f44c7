"""`edgefusion evaluate`: how good fused images are."""
