"""What `Agent` is made of: any environment as a batch, the loop that plays, the pass that plays
again."""
