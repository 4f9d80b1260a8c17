"""Long trainings that must not grow."""
