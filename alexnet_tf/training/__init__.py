"""Training: the paper's update, schedules, strategies, checkpoints and the loop."""
