"""What a trained module says: axes of the latents, densities, draws."""
