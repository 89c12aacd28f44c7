"""From a teacher to a student and its bundle."""
