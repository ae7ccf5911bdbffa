"""What every storey uses: whole files, unit vectors, chunks of work."""
