"""What attacks are made of: samples, patterns, triggers, and a network that gives gradients."""
