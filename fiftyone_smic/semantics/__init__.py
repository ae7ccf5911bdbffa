"""What directions in the latent space mean: arithmetic on latents, and names."""
