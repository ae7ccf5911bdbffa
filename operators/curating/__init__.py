"""What the operators of curation share: how they run, what they found, which parts they take."""
