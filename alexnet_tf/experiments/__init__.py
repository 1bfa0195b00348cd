"""The paper's claims and the ablations people ask for, as changes to recipes, and their results."""
