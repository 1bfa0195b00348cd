"""Judging a network: exact top-k counts, centre crop and ten crops."""
