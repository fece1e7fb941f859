"""The machine: problems, plans, methods and engines. Knows arrays, never files or a door's keywords."""
