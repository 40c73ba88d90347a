"""What a user asks for: an attack and its parameters, typed or written down as a recipe."""
