"""What a dataset is made of, for other tools: CycloneDX and Croissant."""
