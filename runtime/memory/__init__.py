"""Memory that cameras, GPU and ring share: the primary context, host memory in the GPU's address space, streams."""
