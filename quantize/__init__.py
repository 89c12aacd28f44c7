"""From a bundle's FP32 model to its smaller precisions."""
