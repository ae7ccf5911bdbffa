"""What the operators of curation share: how they run, and which parts they take."""
