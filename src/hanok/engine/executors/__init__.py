"""Where heavy work and users' code run: in this process, or in one that may die. Nothing is imported here: the child
process starts with it."""
