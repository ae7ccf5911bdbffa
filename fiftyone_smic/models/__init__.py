"""Images and texts to latents, and latents to pictures."""
