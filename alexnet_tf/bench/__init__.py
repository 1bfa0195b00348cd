"""Speed of training and inference on this machine, also as a fraction of its processor's."""
