"""How fast this machine trains and infers, and how near that is to what its processor can do."""
