"""Entropy coding: tables, coders, coefficients, items, multisets, rows of atoms, limits."""
