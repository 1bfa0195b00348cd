"""Judging a network: exact top-k counts, center crop and ten crops."""
