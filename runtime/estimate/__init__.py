"""How fast a device could at best run a bundle's model, from the model alone."""
