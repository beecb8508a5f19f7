"""Trained weights in the formats of other programs, and the card that tells what they are."""
