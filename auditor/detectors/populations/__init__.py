"""Populations: does a class hold a second one, by activations, answers or the tail of a score?"""
