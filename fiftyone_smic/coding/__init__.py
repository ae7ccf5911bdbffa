"""Entropy coding alone: tables, coders, items, multisets, quantised rows, limits."""
