"""Labels: how likely each is wrong, and which samples' labels their content makes implausible."""
