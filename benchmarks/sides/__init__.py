"""Everyone who can take part: gnnkit, the loops of its peers, the floor."""
