"""Helpers that all other packages share: files, threads, unit vectors, compiled functions."""
