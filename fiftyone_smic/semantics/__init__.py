"""Directions in the space of latents: how to add and subtract them, and how to name them."""
