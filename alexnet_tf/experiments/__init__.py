"""The paper's claims and common ablations, as changes to recipes, and their results."""
